package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"weft/enrich"
	"weft/internal/openapi"
)

func openapiCommand() *cli.Command {
	var (
		rules string
		urls  []string
	)
	return &cli.Command{
		Name:  "openapi",
		Usage: "print an OpenAPI 3.1 description of what clients get",
		Description: `Describes the responses of the rules for generators of clients and documentation. The core
has the members that a rule requires; it may have more. Examples are real responses, so use a test user:

   weft openapi --rules rules.yaml --example http://127.0.0.1:10000/api/v1/users/7 > openapi.json`,
		Flags: []cli.Flag{
			rulesFlag(&rules),
			&cli.StringSliceFlag{
				Name: "example", Sources: cli.EnvVars("WEFT_OPENAPI_EXAMPLE"), Destination: &urls,
				Usage: "`URL` at Envoy of a response that becomes an example; several are allowed",
			},
		},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			f, err := loadRules(rules)
			if err != nil {
				return err
			}
			examples := map[string]json.RawMessage{}
			for _, url := range urls {
				rule, body, err := fetchExample(ctx, enrich.NewRules(f.Rules), url)
				if err != nil {
					return fmt.Errorf("example %s: %w", url, err)
				}
				examples[rule] = body
			}
			document, err := openapi.Document(f.Rules, f.Hash, examples)
			if err != nil {
				return err
			}
			_, err = cmd.Root().Writer.Write(document)
			return err
		},
	}
}

const (
	exampleTimeout = 30 * time.Second
	maxExample     = 1 << 20
)

// fetchExample returns a composed response, and the name of its rule.
func fetchExample(ctx context.Context, rules enrich.Rules, url string) (rule string, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, exampleTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", nil, err
	}
	matched, _, ok := rules.Match(enrich.Request{Method: req.Method, Host: req.URL.Host, Path: req.URL.RequestURI()})
	if !ok {
		return "", nil, fmt.Errorf("no rule matches GET %s", req.URL.RequestURI())
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxExample))
	switch outcome := resp.Header.Get(enrich.OutcomeHeader); {
	case err != nil:
		return "", nil, err
	case outcome != string(enrich.Composed):
		return "", nil, fmt.Errorf("status %d, x-weft: %q; want a composed response", resp.StatusCode, outcome)
	case !json.Valid(body):
		return "", nil, fmt.Errorf("the response is over %d bytes", maxExample)
	}
	return matched.Name, []byte(strings.TrimSpace(string(body))), nil
}
