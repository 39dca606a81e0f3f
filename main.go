// Weft is an external processor for Envoy. It joins the responses of a REST service with MongoDB documents.
package main

import (
	"context"
	"os"

	"weft/internal/cli"
)

// version is set by the linker.
var version = "devel"

func main() {
	os.Exit(cli.Run(context.Background(), os.Args, os.Stdout, os.Stderr, version))
}
