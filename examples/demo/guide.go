package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
)

// row is a service in the guide's table.
type row struct{ name, pid, address, log string }

// guide prints the running services and commands to try.
func (r *runner) guide(out io.Writer) {
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprint(table, "\n  service\tpid\taddress\tlog\n")
	for _, row := range r.rows {
		fmt.Fprintf(table, "  %s\t%s\t%s\t%s\n", row.name, row.pid, short(row.address), short(row.log))
	}
	_ = table.Flush()

	fmt.Fprintf(out, `
The legacy response, the same path through Envoy, and the composite route:

  curl -i 'http://%[1]s/api/v1/users/7'
  curl -i 'http://%[2]s/api/v1/users/7'
  curl -i 'http://%[2]s/api/v3/composite-profile/7'

`, r.legacy, local(r.port))
	fmt.Fprintf(out, "Metrics of weft: http://%[1]s/metrics, of Envoy: http://%[2]s/stats/prometheus. "+
		"Health of weft: http://%[1]s/readyz\n", local(r.weftPort), local(r.adminPort))
	if r.mongoPort != 0 {
		fmt.Fprint(out, "Odd users: 13 has no profile, 17 and 18 wrong types, 19 Unicode, 20 a number as string, "+
			"21 rare BSON types,\n22 an array as settings, 23 a double as userId, 1001 a profile but no legacy user.\n")
	}
	if r.legacyPort != 0 {
		fmt.Fprint(out, "Faults: add ?fault=500 to a path; ?fault=help lists all.\n")
	}
	if r.page != "" {
		fmt.Fprintf(out, "\nThe page, with buttons for failures:\n\n  http://%s/\n", local(r.port))
	} else {
		fmt.Fprint(out, "A page with buttons for failures: \"make demo\", which needs npm.\n")
	}
	fmt.Fprint(out, "\nCtrl-C stops everything.\n")
}

// short returns a path relative to the working directory if it is below that.
func short(path string) string {
	if !filepath.IsAbs(path) {
		return path
	}
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	relative, err := filepath.Rel(here, path)
	if err != nil || strings.HasPrefix(relative, "..") {
		return path
	}
	return relative
}
