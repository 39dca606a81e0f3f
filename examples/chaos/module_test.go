//go:build cgo

package main

import "testing"

// TestChaosInModule runs the scenarios with weft in Envoy's process.
func TestChaosInModule(t *testing.T) { testScenarios(t, true) }
