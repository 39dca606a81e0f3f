package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"weft/internal/rulesfile"
)

// protocol measures what the no-op costs on weft's gRPC server; and what a server costs that changes what weft changes, but knows
// the composite by heart, in three ways. Its Envoy has weft's configuration. What weft costs beyond it is its own work and MongoDB's.
// A second weft, which is like the first one, shows by how much two differ that should not.
func protocol(ctx context.Context, w *world) (tables []table, err error) {
	for _, kind := range []struct{ way, name string }{
		{looping, "the no-op on weft's gRPC server"},
		{changing, "head and body changed"},
		{allHeaders, "the same, and all headers removed that could be there"},
		{twoMessages, "the same in two messages, without the response's head"},
	} {
		v := &variant{name: kind.name, processes: map[string]int{}, isWhole: isByHeart}
		socket := filepath.Join(w.dir, kind.way+".sock")
		server, err := w.command(ctx, kind.way, os.Args[0], nil, "-listen", socket, kind.way)
		if err != nil {
			return nil, err
		}
		v.processes["sidecar"] = server.Pid()
		var change func(*hcmv3.HttpConnectionManager) error
		if kind.way == looping {
			change, v.isWhole = buffered, isCore
		}
		if err := w.startEnvoy(ctx, v, w.legacyAt, "unix:"+socket, change); err != nil {
			return nil, err
		}
		w.variants = append(w.variants, v)
	}
	again, err := w.startWeft(ctx, "weft again", rulesfile.Builtin().Rules, "")
	if err != nil {
		return nil, err
	}
	w.variants = append(w.variants, again)
	for _, connections := range []int{1, 32, 256} {
		t, err := w.takeTurns(ctx, fmt.Sprintf("Ways of the protocol, %d connections", connections), w.turns("no-op,weft,the same,changed", load{connections: connections}))
		if err != nil {
			return nil, err
		}
		tables = append(tables, t)
	}
	return tables, nil
}

// isByHeart reports whether an answer has the core of the user that was asked for, and an extension of no matter whom.
func isByHeart(url, body string) bool {
	core, ok := strings.CutPrefix(body, `{"core":`)
	return ok && isCore(url, core) && strings.HasSuffix(core, `},"errors":[]}`)
}
