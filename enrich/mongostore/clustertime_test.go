package mongostore

import (
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// TestTimeOfToken: a resume token contains the time that its stream has reached. Other formats are never complete.
func TestTimeOfToken(t *testing.T) {
	for data, want := range map[any]bson.Timestamp{
		"8265A1B2C3000000072B0229296E04": {T: 0x65a1b2c3, I: 7}, // without a document
		"8265A1B2C300000007":             {T: 0x65a1b2c3, I: 7},
		"0165A1B2C3000000072B0229296E04": {},
		"8265A1B2C3000000x72B0229296E04": {},
		"8":                              {},
		"":                               {},
		7:                                {},
	} {
		token, err := bson.Marshal(bson.D{{Key: "_data", Value: data}})
		must(t, err)
		got := timeOf(token)
		if got != want {
			t.Errorf("%v: %v, want %v", data, got, want)
		}
		now := moment{at: time.Now(), clusterTime: bson.Timestamp{T: 0x65a1b2c3, I: 7}}
		if isComplete := (&watch{}).isComplete(got, now); isComplete == want.IsZero() {
			t.Errorf("%v: complete %t", data, isComplete)
		}
	}
	if got := timeOf(nil); !got.IsZero() {
		t.Errorf("%v", got)
	}
}

// TestCompleteStream: a stream is complete when it has reached the cluster's time. Shards may have changes of the same
// time, which mongos returns later.
func TestCompleteStream(t *testing.T) {
	at := func(n uint32) bson.Timestamp { return bson.Timestamp{T: 1, I: n} }
	now := moment{at: time.Now(), clusterTime: at(5)}
	for _, isSharded := range []bool{false, true} {
		w := watch{isSharded: isSharded}
		for reached, want := range map[uint32]bool{4: false, 5: !isSharded, 6: true} {
			if got := w.isComplete(at(reached), now); got != want {
				t.Errorf("sharded %t, reached %d: %t", isSharded, reached, got)
			}
		}
		if w.isComplete(at(6), moment{at: now.at}) {
			t.Errorf("sharded %t: complete at an unknown time", isSharded)
		}
	}
}
