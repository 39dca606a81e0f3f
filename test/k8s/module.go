package k8s

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"weft/test/harness"
)

// moduleAdmin is weft's admin listener in Envoy's process.
const moduleAdmin = "127.0.0.1:9912"

// BuildLibrary builds libweft.so and returns its path.
func BuildLibrary(t testing.TB) string {
	t.Helper()
	library := filepath.Join(t.TempDir(), "libweft.so")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-buildvcs=false", "-o", library, "./envoy/module/libweft")
	cmd.Dir = Path(t)
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build (requires gcc): %v\n%s", err, output)
	}
	return library
}

// ModuleFlags returns flags of "weft envoy" for weft in Envoy's process, with the rules of the manifests.
func (s *System) ModuleFlags(library string) []string {
	s.t.Helper()
	rules := Path(s.t, "k8s", "base", "rules.yaml")
	config, err := json.Marshal(map[string]string{"rules": rules, "mongodb-uri": s.Mongod.URI(), "admin": moduleAdmin})
	if err != nil {
		s.t.Fatal(err)
	}
	return []string{
		"--mode", "module", "--rules", rules, "--module-library", library, "--module-config", string(config),
	}
}

// StartLoad sends requests of two rules one after the other, and expects composites. If mayPass, responses may also be
// those without weft. url is Envoy's base URL. The caller must stop the load.
func (s *System) StartLoad(url string, mayPass bool) *harness.Load {
	u := harness.NewUser(7)
	return harness.StartLoad(2, func(client *http.Client, number int) bool {
		path := []string{user, profile}[number] + "7"
		request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, url+path, http.NoBody)
		if err != nil {
			s.t.Error(err)
			return false
		}
		response, err := client.Do(request)
		if err != nil {
			s.t.Errorf("%s: %v", path, err)
			return false
		}
		body, err := io.ReadAll(response.Body)
		err = errors.Join(err, response.Body.Close())
		mark := response.Header.Get(weftMark)
		switch got := mark + ": " + string(body); {
		case err == nil && got == "composed: "+u.Composite():
			return true
		case err == nil && mayPass &&
			(got == ": "+u.Core || got == "degraded; reason=weft-unavailable: "+u.WithoutExtension()):
			return true
		}
		s.t.Errorf("%s: %d, x-weft %q: %s, %v", path, response.StatusCode, mark, body, err)
		return false
	})
}

// AwaitComposites waits until a weft has composed responses since the call: the one in its own process, or the one in
// Envoy's. The process is Envoy or its control plane.
func (s *System) AwaitComposites(p *harness.Process, isModule bool) {
	s.t.Helper()
	admin := "127.0.0.1:9902"
	if isModule {
		admin = moduleAdmin
	}
	before, err := composites(s.t.Context(), admin)
	if err != nil {
		before = ""
	}
	s.await(p, func(ctx context.Context) error {
		now, err := composites(ctx, admin)
		if err == nil && now == before {
			err = fmt.Errorf("no composites since %q", before)
		}
		return err
	})
}

// composites returns the line for composites of the rule composite-profile in weft's metrics, or "".
func composites(ctx context.Context, admin string) (string, error) {
	answer, err := harness.Get(ctx, "http://"+admin+"/metrics")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(answer.Body) {
		if strings.HasPrefix(line, "weft_exchanges_total{") &&
			strings.Contains(line, `disposition="composed",reason="",rule="composite-profile"`) {
			return line, nil
		}
	}
	return "", nil
}

// AwaitModuleEnd waits until weft in Envoy's process has ended, because Envoy has no configuration for it any more.
func (s *System) AwaitModuleEnd(p *harness.Process) {
	s.t.Helper()
	s.await(p, func(ctx context.Context) error {
		if _, err := composites(ctx, moduleAdmin); err != nil {
			return nil //nolint:nilerr // the admin listener is closed
		}
		return errors.New("weft is still in Envoy's process")
	})
}

func (s *System) await(p *harness.Process, probe func(context.Context) error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()
	if err := p.Await(ctx, probe); err != nil {
		s.t.Fatal(err)
	}
}
