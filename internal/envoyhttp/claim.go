package envoyhttp

import "weft/enrich"

// JWTMetadata is the namespace of Envoy's jwt_authn filter in the metadata of a request.
const JWTMetadata = "envoy.filters.http.jwt_authn"

// ClaimsState is the key of the filter state that contains verified claims for a module: a JSON object by payload and
// name, such as {"token": {"sub": "7"}}. A module cannot read nested metadata, so Envoy's configuration copies it.
const ClaimsState = "weft.claims"

// AnyClaims is a key in [ClaimsState]: its value is not null if the request has a verified token.
const AnyClaims = ""

// IsVerified reports whether the value of a claim that Envoy has verified, decoded from JSON, equals the first
// parameter.
func IsVerified(claimed any, params []enrich.Value) bool {
	if len(params) == 0 {
		return false
	}
	key := params[0]
	switch value := claimed.(type) {
	case string:
		param, ok := enrich.ParseParam(key.Type, value)
		return ok && param == key
	case float64:
		const exact = 1 << 53 // beyond it a double may represent several integers
		return key.Type == enrich.Int64 && value == float64(key.Int) && key.Int > -exact && key.Int < exact
	default:
		return false
	}
}
