package extproc

import (
	"encoding/binary"
	"math"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"weft/enrich"
)

// MetadataNamespace is that of the dynamic metadata which the last reply of an exchange brings to Envoy, for its access log:
// rule, verdict, reason (two where both halves failed, with a plus between), legacy_ms, mongodb_ms and added_ms. What is
// not known is left out. Envoy's configuration must let it in (receiving_namespaces).
const MetadataNamespace = "weft"

// metadata writes a report as the dynamic_metadata of a ProcessingResponse, a google.protobuf.Struct.
func (w *backward) metadata(r *enrich.Report) {
	end := w.len()
	if !r.Times.Began.IsZero() {
		w.numberField("added_ms", milliseconds(r.Times.Added))
		if r.Times.Read != 0 {
			w.numberField("mongodb_ms", milliseconds(r.Times.Read))
		}
		w.numberField("legacy_ms", milliseconds(r.Times.Legacy))
	}
	if r.Outcome.Reason != "" {
		reason := string(r.Outcome.Reason)
		if r.Outcome.Also != "" {
			reason += "+" + string(r.Outcome.Also)
		}
		w.textField("reason", reason)
	}
	w.textField("verdict", string(r.Outcome.Disposition))
	w.textField("rule", r.Rule)
	w.message(5, end) // struct_value
	w.entry(MetadataNamespace, end)
	w.message(8, end) // dynamic_metadata
}

// entry writes what is around the Value of a Struct's field, whose end was at end.
func (w *backward) entry(name string, end int) {
	w.message(2, end) // value
	w.string(1, name) // key
	w.message(1, end) // fields
}

func (w *backward) textField(name, value string) {
	end := w.len()
	w.string(3, value) // string_value
	w.entry(name, end)
}

func (w *backward) numberField(name string, value float64) {
	end := w.len()
	w.at -= 8
	binary.LittleEndian.PutUint64(w.buf[w.at:], math.Float64bits(value))
	w.tag(2, protowire.Fixed64Type) // number_value
	w.entry(name, end)
}

// metadataRoom returns how many bytes the metadata of a report has at most.
func metadataRoom(r *enrich.Report) int {
	const around = 40 // the lengths, tags and name of a field
	return 8*around + len(r.Rule) + len(r.Outcome.Disposition) + len(r.Outcome.Reason) + len(r.Outcome.Also)
}

// milliseconds are exact to a microsecond.
func milliseconds(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond).Microseconds()) / 1000
}

// serverTiming returns the value of a server-timing header (W3C Server Timing), which browsers show: what the legacy service
// took, MongoDB beside it, and weft in addition, in milliseconds.
func serverTiming(t enrich.Times) string {
	if t.Began.IsZero() {
		return ""
	}
	b := make([]byte, 0, 64)
	add := func(name string, d time.Duration) {
		b = strconv.AppendFloat(append(b, name...), milliseconds(d), 'f', -1, 64)
	}
	add("legacy;dur=", t.Legacy)
	if t.Read != 0 {
		add(", mongodb;dur=", t.Read)
	}
	add(", weft;dur=", t.Added)
	return string(b)
}
