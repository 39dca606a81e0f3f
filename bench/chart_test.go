package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestChart draws what there is, and nothing if nothing was measured.
func TestChart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results.svg")
	if err := new(results).chart(file); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a chart of nothing")
	}
	m := measurement{CPU: map[string]float64{"Envoy": 100, "sidecar": 50, "legacy service": 30}}
	r := results{Tables: []table{{Title: "Closed loop, 32 connections", Rows: []row{
		{Variant: "weft", measurement: m}, {Variant: "FastAPI aggregator", measurement: m}, {Variant: "Go aggregator, in the mesh", measurement: m},
	}}}}
	if err := r.chart(file); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "weft") || strings.Contains(string(text), "FastAPI") {
		t.Errorf("%.500s", text)
	}
}
