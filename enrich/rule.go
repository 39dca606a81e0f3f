// Package enrich decides what weft does with an HTTP exchange: which rule an exchange falls under ([Match]),
// what a response means ([Rule.Verdict]), and what the client gets ([Rule.Compose]). These are pure functions of
// plain values. The one thing that runs beside them is the read of the extensions ([Fetch]).
//
// The package knows neither Envoy nor MongoDB: package extproc carries the conversation with the one, a [Store]
// such as mongostore reads from the other.
package enrich

// Rule joins the responses of one REST resource with documents: the legacy response is the core, each document an
// extension. If the response is a list, that is so for each of its elements. A Rule is made by [Rule.Ready], and
// read-only once it is in use.
type Rule struct {
	Name    string   // names the rule in logs and metrics
	Methods []string // of the requests that the rule is for; GET includes HEAD
	Host    string   // of these requests: a name, or *.name for all names that end so; empty for any
	Path    Template // their path
	Query   []QueryParam

	LegacyPath Template // the core's path at the legacy service, to which Envoy rewrites; zero if it is Path

	List      *Pointer    // where the array is whose elements are cores; nil if the response is one core
	Core      []CoreField // members that a core must have, else it counts as failed
	Verify    []Verify    // members of the core that must equal a parameter: two users are never mixed
	CoreLimit int         // bytes of a response, decoded, that weft holds to compose
	Large     LargeCore   // what becomes of a larger one

	Shape   Shape
	MergeAt Pointer // for ShapeMerge: the object of the core that gets the extensions as members
	Members Members // names of members that the shape adds
	Sources []*Source

	NotFound NotFound      // what a 404 of the legacy service means
	Degrade  DegradePolicy // who gets extensions without a core when the legacy service fails
	Identity Claim         // whose they are, for DegradeAuthenticated
	Fallback Fallback      // what the client gets while weft is down
	Messages Messages

	plan plan
}

// QueryParam is a parameter that a request must have in its query, once.
type QueryParam struct {
	Param        // Type is 0 if Fixed says all of the value
	Fixed string // the value that it must have; empty if Type says what it may be
}

// Shape is how core and extensions make one JSON text.
type Shape uint8

const (
	// ShapeComposite is an object with the core, the extensions and the errors as members.
	ShapeComposite Shape = iota
	// ShapeMerge is the core with the extensions as more members, and the errors if there are any. A core that is not as
	// the rule says passes as it is.
	ShapeMerge
)

// Members are the names of members beside the extensions'.
type Members struct{ Core, Errors string }

// Pointer names a member of a JSON object as RFC 6901 does; "" is the whole. It does not go through arrays.
type Pointer string

// CoreField is a member that a core must have. Its Type is [Int64] (an integer of any size), [Number], [String], [Bool],
// [Object], [Array] or [Any].
type CoreField struct {
	At   Pointer
	Type Type
}

// Verify is a member of the core that must equal a parameter.
type Verify struct {
	At    Pointer
	Param int // index in Params
}

// Messages are the texts that a client reads when a half is missing. The extensions have their own: Source.Failed.
type Messages struct {
	CoreFailed string // in "errors"
	BothFailed string // in "detail" of the 503
}

// NotFound is what a rule makes of a 404 of the legacy service.
type NotFound uint8

const (
	PassNotFound    NotFound = iota // the 404 reaches the client as it is
	DegradeNotFound                 // core null, extension given
)

// LargeCore is what a rule makes of a core over its limit.
type LargeCore uint8

const (
	PassLarge LargeCore = iota // it passes untouched
	// StreamLarge splices the composite around it while it passes, in constant memory. So are cores of unknown length,
	// whatever it turns out to be. A core that proves to be invalid then leaves the client with a body that is no JSON,
	// instead of a core that is null. It is for ShapeComposite, without a list and keys from the core.
	StreamLarge
)

// DegradePolicy says who gets the extension alone when the legacy service gave no answer or a 5xx: it may be the one that
// would have checked who is asking, and now nobody has.
type DegradePolicy uint8

const (
	DegradeNever         DegradePolicy = iota // nobody: the failure of the legacy service passes
	DegradeAuthenticated                      // who is, as the proxy has verified, the one that the first parameter names; others get the failure
	DegradeAlways                             // whoever asks
)

// Claim names a claim of a token that the proxy has verified.
type Claim struct {
	Payload string // the name under which the proxy keeps the token's payload (jwt_authn's payload_in_metadata)
	Name    string // of the claim, for example "sub"; its value must be the first parameter, as a string or a number
}

// Fallback is what the proxy makes of a legacy response that weft has not seen.
type Fallback uint8

const (
	FallbackLegacy    Fallback = iota // the legacy response as it is
	FallbackComposite                 // a composite whose extensions are null, so that the client finds the shape it knows
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

// degrades reports whether an answer without a core can take the place of a legacy response to a request. It cannot in
// shapes that have no place for a missing core, nor when the request may have changed something: the client must know
// that it failed.
func (r *Rule) degrades(method string) bool {
	return r.Shape == ShapeComposite && r.List == nil && isRead(method)
}

// ReadsOnly reports whether the rule is for requests that change nothing. [LegacyRequest] is then the same for all of them, and
// the proxy can know it beforehand.
func (r *Rule) ReadsOnly() bool {
	for _, method := range r.Methods {
		if !isRead(method) {
			return false
		}
	}
	return true
}

func isRead(method string) bool { return method == "GET" || method == "HEAD" }
