package envoy_test

import (
	"encoding/json"
	"maps"
	"testing"

	"weft/test/harness"
)

// TestRouteTimeouts: Envoy never ends a stream without a rule because of its length, and any stream only after an hour
// without a byte. Its defaults, 15 seconds and 5 minutes, would end server-sent events, WebSockets (also on the path of
// a rule) and large downloads. The route timeout of a rule is that of the rules file.
func TestRouteTimeouts(t *testing.T) {
	s := startSystem(t, systemOptions{})
	answer, err := harness.Get(t.Context(), s.Envoy.Admin()+"/config_dump?resource=static_route_configs")
	if err != nil {
		t.Fatal(err)
	}
	var dump struct {
		Configs []struct {
			Config struct {
				Hosts []struct {
					Routes []struct {
						Name  string
						Route struct {
							Timeout string
							Idle    string `json:"idle_timeout"`
						}
					}
				} `json:"virtual_hosts"`
			} `json:"route_config"`
		}
	}
	if err := json.Unmarshal([]byte(answer.Body), &dump); err != nil {
		t.Fatal(err)
	}
	got := map[string][2]string{}
	for _, c := range dump.Configs {
		for _, host := range c.Config.Hosts {
			for _, r := range host.Routes {
				got[r.Name] = [2]string{r.Route.Timeout, r.Route.Idle}
			}
		}
	}
	want := map[string][2]string{
		"user":                    {"3s", "3600s"},
		"composite-profile":       {"3s", "3600s"},
		"composite-profile-other": {"0s", "3600s"},
		"other":                   {"0s", "3600s"},
	}
	if !maps.Equal(got, want) {
		t.Errorf("timeouts and idle timeouts\n got %v\nwant %v", got, want)
	}
}
