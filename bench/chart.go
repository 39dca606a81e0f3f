package main

import (
	"os"

	"github.com/go-analyze/charts"
)

// chart draws the CPU time of a request with each variant as an SVG file, unless nothing was measured.
func (r *results) chart(file string) error {
	title := closedLoop(32, endpoints()[0].name)
	processes := []struct {
		name string
		of   func(measurement) float64
	}{
		{"Envoy", measurement.envoyCPU},
		{"sidecar or aggregator", measurement.serverCPU},
		{"mongod", func(m measurement) float64 { return m.CPU["mongod"] }},
		{"legacy service", func(m measurement) float64 { return m.CPU["legacy service"] }},
	}
	var names, legend []string
	for _, t := range r.Tables {
		for _, row := range t.Rows {
			// FastAPI's bar is several times as long as the others. The table has it.
			if t.Title == title && row.Name != fastAPIAggregator {
				names = append(names, row.Name)
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	values := make([][]float64, len(processes))
	for i, p := range processes {
		legend = append(legend, p.name)
		for _, name := range names {
			values[i] = append(values[i], p.of(r.find(title, name).measurement))
		}
	}
	o := charts.NewBarChartOptionWithData(values)
	o.Title = charts.TitleOption{
		Text: "CPU of one request, all processes, in microseconds", Subtext: title + ". " + r.Machine,
	}
	o.Legend = charts.LegendOption{SeriesNames: legend, Offset: charts.OffsetStr{Top: "50"}}
	o.Horizontal = true
	labels := make([]string, len(names))
	for i, name := range names {
		labels[i] = name + "\u00a0\u00a0\u00a0\u00a0" // the font of a browser may be wider
	}
	o.CategoryAxis = charts.CategoryAxisOption{Labels: labels}
	o.ValueAxis = []charts.ValueAxisOption{{Min: charts.Ptr(0.0), Title: "µs"}}
	o.StackSeries = charts.Ptr(true)
	o.Padding = charts.NewBoxEqual(24)
	p := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Width: 960, Height: 420})
	if err := p.BarChart(o); err != nil {
		return err
	}
	text, err := p.Bytes()
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}
