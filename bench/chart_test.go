package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestChart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results.svg")
	if err := new(results).chart(file); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a chart without results")
	}
	m := measurement{CPU: map[string]float64{"Envoy": 100, "sidecar": 50, "legacy service": 30}}
	r := results{Tables: []table{{Title: "Closed loop, 32 connections, /api/v1/users/{id}", Rows: []row{
		{Name: weftNow, measurement: m},
		{Name: fastAPIAggregator, measurement: m},
		{Name: goAggregatorInMesh, measurement: m},
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
