package envoy

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"weft/enrich"
	"weft/envoy/defaults"
	"weft/extproc"
)

// GatewayOptions identify the Gateway.
type GatewayOptions struct {
	Namespace string
	Gateway   string // name of the Gateway

	// Attach names the HTTPRoute that has the paths of the rules now: httproute/NAME, or httproute/NAME/SECTION for one
	// of its rules. weft is attached to it, and its policies still apply. Rules with a legacy_path, whose path is new,
	// get new routes. Without Attach all rules get new routes.
	Attach string
}

// NewRoutes returns the names of the HTTPRoutes that [Gateway] creates for rules, and whether one of them takes over
// requests from an existing route of the legacy service. SecurityPolicies of other HTTPRoutes do not cover them.
func (o GatewayOptions) NewRoutes(rules []*enrich.Rule) (names []string, takesRequests bool) {
	_, routed := o.divide(rules)
	for _, r := range routed {
		names = append(names, "weft-"+r.Name)
		if r.LegacyPath.IsZero() {
			takesRequests = true
		} else {
			names = append(names, "weft-"+r.Name+"-other")
		}
	}
	return names, takesRequests
}

// divide returns the rules for the HTTPRoute to which weft is attached, and the rules with new routes.
func (o GatewayOptions) divide(rules []*enrich.Rule) (attached, routed []*enrich.Rule) {
	for _, r := range rules {
		if o.Attach != "" && r.LegacyPath.IsZero() {
			attached = append(attached, r)
		} else {
			routed = append(routed, r)
		}
	}
	return attached, routed
}

// target is a targetRef to an HTTPRoute.
type target struct {
	Group       string `json:"group"`
	Kind        string `json:"kind"`
	Name        string `json:"name"`
	SectionName string `json:"sectionName,omitempty"`
}

func httpRoute(name, section string) target {
	return target{Group: "gateway.networking.k8s.io", Kind: "HTTPRoute", Name: name, SectionName: section}
}

var attachPattern = regexp.MustCompile(`^httproute/([a-z0-9][-.a-z0-9]*)(?:/([a-z0-9][-.a-z0-9]*))?$`)

// attachTo returns the target of Attach.
func (o GatewayOptions) attachTo(attached []*enrich.Rule) (target, error) {
	parts := attachPattern.FindStringSubmatch(o.Attach)
	switch {
	case o.Attach == "":
		return target{}, nil
	case parts == nil:
		return target{}, fmt.Errorf("--attach %q: want httproute/NAME or httproute/NAME/SECTION, as in httproute/users",
			o.Attach)
	case len(attached) == 0:
		return target{}, errors.New("--attach has no effect: each rule has a legacy_path, and so a new route")
	}
	return httpRoute(parts[1], parts[2]), nil
}

// Gateway returns the objects for Envoy Gateway, as YAML documents. It does not use the Go types of the Gateway API and
// Envoy Gateway: they import 112 packages, and the binary of weft would grow from 33.0 to 44.9 MB. test/k8s/manifests
// decodes the output strictly into these types.
func Gateway(c Config, o GatewayOptions) ([]byte, error) {
	c = c.withDefaults()
	legacy, legacyErr := backendRef("legacy", c.Legacy)
	moduleErr := c.Module.validate(c.Rules)
	var weft service
	var weftErr, tlsErr error
	if c.Module == nil {
		weft, weftErr = backendRef("weft", c.Weft)
	} else if with := withIdentity(c.Rules); len(with) > 0 {
		moduleErr = fmt.Errorf("rule %q: degrade: authenticated needs weft as an external processor: "+
			"Envoy Gateway cannot give a module the claims of a token", with[0].Name)
	} else if credentials(c.Rules) != nil {
		moduleErr = errors.New("core.cache and core.stale_if_error need weft as an external processor: " +
			"Envoy Gateway cannot tell a module whether a request has a token")
	}
	if c.TLS != (TLS{}) {
		tlsErr = errors.New("--format gateway does not support --weft-tls-…: " +
			"Envoy Gateway uses TLS to a Service if a BackendTLSPolicy of yours names it")
	}
	attached, routed := o.divide(c.Rules)
	to, attachErr := o.attachTo(attached)
	if err := cmp.Or(attachErr, legacyErr, tlsErr, weftErr, moduleErr); err != nil {
		return nil, err
	}
	newRoutes, _ := o.NewRoutes(c.Rules)
	return render("gateway.yaml.tmpl", map[string]any{
		"Namespace":         o.Namespace,
		"Gateway":           o.Gateway,
		"Attached":          attached,
		"AttachTo":          to,
		"AttachName":        "weft-" + strings.ReplaceAll(o.Attach, "/", "-"),
		"Routed":            routed,
		"NewRoutes":         newRoutes,
		"Legacy":            legacy,
		"Weft":              weft,
		"Module":            c.Module,
		"ModuleFlags":       moduleFlags(c),
		"RouteTimeout":      c.RouteTimeout,
		"MessageTimeout":    c.MessageTimeout,
		"Budget":            defaults.Budget(c.MessageTimeout),
		"BufferKiB":         bufferLimit(c)>>10 + 1,
		"WeftStreams":       c.WeftStreams,
		"RequestAttributes": requestAttributes(c.Rules),
		"Attributes":        extproc.Attributes(),
		"Retries":           *c.Retries,
	})
}

// policyData returns the data for an EnvoyExtensionPolicy with a name: for all rules of a target, or for one rule on a
// new route. The fallback reads the name of the rule from the filter context; "*" means any.
func policyData(data map[string]any, name string, to target, rules []*enrich.Rule, rule string) map[string]any {
	data = maps.Clone(data)
	data["Name"], data["Target"], data["Rules"], data["Rule"] = name, to, rules, rule
	data["HasFallback"] = slices.ContainsFunc(rules, needsScript)
	return data
}

// service is a backendRef.
type service struct {
	Name string `json:"name"`
	Port uint64 `json:"port"`
}

func backendRef(flag, address string) (service, error) {
	host, port, ok := strings.Cut(address, ":")
	n, err := strconv.ParseUint(port, 10, 16)
	if !ok || host == "" || err != nil {
		return service{}, fmt.Errorf("--%s %q: want name:port of a Service, as in %s:8080", flag, address, flag)
	}
	return service{host, n}, nil
}
