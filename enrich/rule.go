// Package enrich decides what happens to an HTTP exchange: which rule it matches ([Rules.Match]), what to do with the
// response ([Rule.Verdict]), and what the client gets ([Rule.Compose]). These are pure functions. [Fetch] reads
// extensions concurrently with the upstream request.
//
// The package does not depend on Envoy or MongoDB: package extproc implements the protocol, and a [Store] such as
// mongostore reads the documents.
package enrich

// Rule joins the responses of a REST resource with documents. The legacy response is the core; each document is an
// extension. If the response is a list, each element is a core. Call [Rule.Ready] after setting the fields; it returns
// the Rule, which is read-only from then on.
type Rule struct {
	Name    string   // for logs and metrics
	Methods []string // GET includes HEAD
	Host    string   // a name, or *.name for all names that end in .name; empty for any
	Path    Template
	Query   []QueryParam

	LegacyPath Template // path at the legacy service, to which Envoy rewrites; zero means Path

	List      *Pointer    // the array whose elements are cores; nil if the response is one core
	Core      []CoreField // members that a valid core must have
	Verify    []Verify    // members of the core that must equal a parameter, so that users are not mixed
	CoreLimit int         // maximum size of a buffered core, in bytes, after decompression

	Shape       Shape
	ContentType string  // of bodies that are not the legacy object; empty means application/json
	MergeAt     Pointer // for ShapeMerge: the object in the core to which the extensions are added
	Members     Members // names of members that the shape adds
	Sources     []*Source

	// StreamLarge adds the extensions to a core over the limit, or of unknown length, while the core streams, in constant
	// memory. If the core is invalid, the body is not JSON. It requires [Rule.AllowsMissingCore], and sources without keys
	// from the core. Otherwise a response over the limit passes.
	StreamLarge bool

	Degrade         DegradePolicy // who gets extensions without a core when the legacy service fails
	Identity        Claim         // for DegradeAuthenticated
	DegradeNotFound bool          // a 404 of the legacy service becomes a null core; otherwise the 404 passes
	Keep            KeepPolicy    // for cores
	Fallback        bool          // while weft is down, the proxy composes responses with null extensions
	Select          Select        // policy for requests that select members of the answer
	Messages        Messages

	Description string // for clients

	plan     plan
	selected *selection // of the request; nil if the rule is not for one that selects members
}

// QueryParam is a parameter that the query of a request must contain exactly once.
type QueryParam struct {
	Param        // Type is 0 if Fixed is set
	Fixed string // the only value allowed; empty if Type is set
}

// Members are the names of members that a shape adds besides the extensions.
type Members struct{ Core, Errors string }

// Pointer is a JSON pointer (RFC 6901); "" is the whole text. It cannot point into arrays.
type Pointer string

// CoreField is a member that a core must have. Type is one of [CoreTypes]; an Int64 may have any size.
type CoreField struct {
	At   Pointer
	Type Type
}

// Verify is a member of the core that must equal a parameter.
type Verify struct {
	At    Pointer
	Param int // index in Params
}

// Messages are error messages for clients. For an extension see Source.Failed.
type Messages struct {
	CoreFailed string // in "errors", if the core is missing
	CoreStale  string // in "errors", if a kept core stands in; empty for no message
	BothFailed string // in "detail" of the 503, if core and extensions are missing
}

// DegradePolicy decides who gets the extension without a core when the legacy service fails. The legacy service may be
// the only service that authorizes callers, and in this case it has not.
type DegradePolicy uint8

const (
	DegradeNever         DegradePolicy = iota // nobody: the failure passes
	DegradeAuthenticated                      // a caller whose claim, verified by the proxy, equals the first parameter
	DegradeAlways                             // every caller
)

// Claim identifies a claim in a token that the proxy has verified.
type Claim struct {
	Payload string // key of the token's payload in the proxy's metadata (payload_in_metadata of jwt_authn)
	Name    string // for example "sub"; its value, a string or a number, must equal the first parameter
}

// Params returns the parameters of the path, followed by the typed parameters of the query.
func (r *Rule) Params() []Param {
	params := r.Path.Params()
	for _, q := range r.Query {
		if q.Type != 0 {
			params = append(params, q.Param)
		}
	}
	return params
}

// ReadsOnly reports whether all methods of the rule are safe. Then [LegacyRequest] is the same for all requests.
func (r *Rule) ReadsOnly() bool {
	for _, method := range r.Methods {
		if !isRead(method) {
			return false
		}
	}
	return true
}

func isRead(method string) bool { return method == "GET" || method == "HEAD" }
