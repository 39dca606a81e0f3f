// Package enrich decides what happens to an HTTP exchange: which rule it matches ([Rules.Match]), what a response means
// ([Rule.Verdict]), and what the client gets ([Rule.Compose]). These are pure functions of plain values. Extensions are
// read concurrently with the upstream request ([Fetch]).
//
// The package knows neither Envoy nor MongoDB: package extproc talks to Envoy, and a [Store] such as mongostore reads
// the documents.
package enrich

// Rule joins the responses of one REST resource with documents: the legacy response is the core, each document an
// extension. If the response is a list, each of its elements is a core. A Rule is made by [Rule.Ready], and read-only
// from then on.
type Rule struct {
	Name    string   // in logs and metrics
	Methods []string // of the requests; GET includes HEAD
	Host    string   // of the requests: a name, or *.name for all names that end in .name; empty for any
	Path    Template // of the requests
	Query   []QueryParam

	LegacyPath Template // of the core at the legacy service, to which Envoy rewrites; zero if it is Path

	List      *Pointer    // the array whose elements are cores; nil if the response is one core
	Core      []CoreField // members that a core must have, else it counts as failed
	Verify    []Verify    // members of the core that must equal a parameter, so that two users are never mixed
	CoreLimit int         // bytes of a response, decoded, that weft holds to compose
	Large     LargeCore   // what happens to a larger one

	Shape       Shape
	ContentType string  // of answers that are not the legacy object; empty is application/json
	MergeAt     Pointer // for ShapeMerge: the object of the core that gets the extensions as members
	Members     Members // names of members that the shape adds
	Sources     []*Source

	NotFound NotFound      // what a 404 of the legacy service means
	Degrade  DegradePolicy // who gets extensions without a core when the legacy service fails
	Identity Claim         // for DegradeAuthenticated
	Fallback Fallback      // what the client gets while weft is down
	Messages Messages

	plan plan
}

// QueryParam is a parameter that a request must have exactly once in its query.
type QueryParam struct {
	Param        // Type is 0 if Fixed is the whole value
	Fixed string // the only value allowed; empty if Type is given
}

// Members are the names of members that a shape adds in addition to the extensions.
type Members struct{ Core, Errors string }

// Pointer names a member of a JSON object as in RFC 6901; "" is the whole text. It does not go through arrays.
type Pointer string

// CoreField is a member that a core must have. Its Type is one of [CoreTypes]; an Int64 may have any size.
type CoreField struct {
	At   Pointer
	Type Type
}

// Verify is a member of the core that must equal a parameter.
type Verify struct {
	At    Pointer
	Param int // index in Params
}

// Messages are the texts for clients when a half is missing. For an extension see Source.Failed.
type Messages struct {
	CoreFailed string // in "errors"
	BothFailed string // in "detail" of the 503
}

// NotFound says what a 404 of the legacy service means.
type NotFound uint8

const (
	PassNotFound    NotFound = iota // the 404 passes to the client
	DegradeNotFound                 // the core is null, the extension is given
)

// LargeCore says what happens to a core over the limit.
type LargeCore uint8

const (
	PassLarge LargeCore = iota // it passes untouched
	// StreamLarge writes the answer around the core while it passes, in constant memory. Cores of unknown length are
	// streamed, too. If a core turns out to be invalid, the body is not JSON. It needs [Rule.AllowsMissingCore], and no
	// keys from the core.
	StreamLarge
)

// DegradePolicy says who gets the extension alone when the legacy service gave no answer or a 5xx. That service may be
// the only one that authorizes callers, and it has not.
type DegradePolicy uint8

const (
	DegradeNever         DegradePolicy = iota // nobody: the failure passes
	DegradeAuthenticated                      // the caller whom the proxy has verified as the first parameter
	DegradeAlways                             // every caller
)

// Claim names a claim of a token that the proxy has verified.
type Claim struct {
	Payload string // key of the token's payload in the proxy's metadata (jwt_authn's payload_in_metadata)
	Name    string // for example "sub"; its value, a string or a number, must be the first parameter
}

// Fallback says what the proxy does with a legacy response while weft is down.
type Fallback uint8

const (
	FallbackLegacy    Fallback = iota // it passes
	FallbackComposite                 // it becomes an answer whose extensions are null: clients find the usual shape
)

// Params returns the parameters of the path, then those of the query that have a type.
func (r *Rule) Params() []Param {
	params := r.Path.Params()
	for _, q := range r.Query {
		if q.Type != 0 {
			params = append(params, q.Param)
		}
	}
	return params
}

// ReadsOnly reports whether the rule is only for requests that change nothing. Then [LegacyRequest] is the same for all
// of them.
func (r *Rule) ReadsOnly() bool {
	for _, method := range r.Methods {
		if !isRead(method) {
			return false
		}
	}
	return true
}

func isRead(method string) bool { return method == "GET" || method == "HEAD" }
