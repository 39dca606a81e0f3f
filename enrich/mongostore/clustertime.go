package mongostore

import (
	"encoding/binary"
	"encoding/hex"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// moment is a time of this machine, and a later time of the cluster: changes before at have an earlier cluster time.
type moment struct {
	at          time.Time
	clusterTime bson.Timestamp // zero if unknown
}

// isComplete reports whether a stream that has reached a cluster time has returned all changes before a moment. A reply
// without changes does not say so: the member may lag behind the primary, and mongos waits for a shard that does not
// respond. Shards may have changes of the same time.
func (w *watch) isComplete(reached bson.Timestamp, m moment) bool {
	if w.isSharded {
		return !m.clusterTime.IsZero() && reached.After(m.clusterTime)
	}
	return !m.clusterTime.IsZero() && !reached.Before(m.clusterTime)
}

// clusterTimeOf returns the newest cluster time that the server of a session has sent in a reply; zero without one. It
// is not earlier than the time of any other reply to this client that was received before the request.
func clusterTimeOf(session *mongo.Session) (at bson.Timestamp) {
	at.T, at.I, _ = session.ClusterTime().Lookup("$clusterTime", "clusterTime").TimestampOK()
	return at
}

// timeOf returns the cluster time that a change stream with a resume token has reached; zero if the token has another
// format. A token is a string in hexadecimal that begins with the type of the timestamp and the timestamp.
func timeOf(token bson.Raw) bson.Timestamp {
	const timestampType = 130
	text, _ := token.Lookup("_data").StringValueOK()
	var b [1 + 8]byte
	if _, err := hex.Decode(b[:], []byte(text[:min(len(text), 2*len(b))])); err != nil || b[0] != timestampType {
		return bson.Timestamp{}
	}
	return bson.Timestamp{T: binary.BigEndian.Uint32(b[1:]), I: binary.BigEndian.Uint32(b[5:])}
}
