package main

import (
	"testing"

	"weft/test/harness"
)

// TestReplicaSetMoves: the demo uses the data of a standalone mongod, and of a demo with another port.
func TestReplicaSetMoves(t *testing.T) {
	dir := t.TempDir()
	for i, args := range [][]string{{}, {"--replSet", replicaSet}, {}, {"--replSet", replicaSet}} {
		mongod, err := harness.StartMongod(t.Context(), harness.MongodOptions{Dir: dir, Args: args}) // on a free port
		if err != nil {
			t.Fatal(err)
		}
		if len(args) > 0 {
			err = awaitPrimary(t.Context(), mongod)
		}
		if err == nil {
			err = seedProfiles(t.Context(), mongod.URI())
		}
		if err != nil {
			t.Errorf("start %d: %v", i, err)
		}
		if err := mongod.Kill(); err != nil {
			t.Fatal(err)
		}
	}
}
