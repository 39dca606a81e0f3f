package mongostore

import (
	"encoding/binary"
	"strings"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"weft/test/harness"
)

// A message of MongoDB's wire protocol that carries a command has a header of four int32 (its length, its id, the id of
// the request that it responds to, and the opcode), flags, and the command in a section of kind 0.
const (
	opMsg       = 2013
	opMsgHeader = 4 * 4
	opMsgBody   = opMsgHeader + 4 + 1
)

// faultProxy is a proxy between the driver and a mongod that simulates a mongos. With a fault, it fails or holds each
// find command that contains a key of a stopped shard. All other messages pass.
type faultProxy struct {
	uri       string
	isStopped func(id int64) bool // the key is in the stopped shard

	mu    sync.Mutex
	fault *fault // nil without a fault
}

// fault is the effect on commands for the stopped shard: they fail, or wait until healed is closed and then pass.
type fault struct {
	holds  bool
	healed chan struct{}
}

// startFaultProxy returns a proxy without a fault, between the driver and the mongod of this package.
func startFaultProxy(t *testing.T, isStopped func(id int64) bool) *faultProxy {
	t.Helper()
	p := &faultProxy{isStopped: isStopped}
	proxy, err := harness.StartMongoProxy(strings.TrimPrefix(mongod.URI(), "mongodb://"), func(message []byte) []byte {
		f := p.faultOf(message)
		switch {
		case f == nil:
			return nil
		case f.holds:
			<-f.healed
			return nil
		default:
			return errorReply(message)
		}
	})
	must(t, err)
	t.Cleanup(proxy.Close)
	t.Cleanup(p.heal) // before Close, which waits for held commands
	p.uri = proxy.URI
	return p
}

// stopShard makes commands for the stopped shard fail, or holds them.
func (p *faultProxy) stopShard(holds bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = &fault{holds: holds, healed: make(chan struct{})}
}

// heal ends the fault, if there is one.
func (p *faultProxy) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault != nil {
		close(p.fault.healed)
		p.fault = nil
	}
}

// faultOf returns the fault if the message is a find command for a key of the stopped shard, alone or in a list.
func (p *faultProxy) faultOf(message []byte) *fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	command, name := commandIn(message)
	if name != "find" {
		return nil
	}
	keys := []bson.RawValue{command.Lookup("filter", "id")}
	if list, ok := command.Lookup("filter", "id", "$in").ArrayOK(); ok {
		keys, _ = list.Values()
	}
	for _, key := range keys {
		if id, ok := key.AsInt64OK(); ok && p.isStopped(id) {
			return p.fault
		}
	}
	return nil
}

// commandIn returns the command in a message, and its name; empty if the message has another format.
func commandIn(message []byte) (command bson.Raw, name string) {
	if len(message) < opMsgBody || binary.LittleEndian.Uint32(message[12:]) != opMsg || message[opMsgBody-1] != 0 {
		return nil, ""
	}
	command = bson.Raw(message[opMsgBody:])
	first, err := command.IndexErr(0)
	if err != nil {
		return nil, ""
	}
	return command, first.Key()
}

// errorReply returns the reply of a mongos that cannot reach a shard.
func errorReply(request []byte) []byte {
	return replyTo(request, bson.D{
		{Key: "ok", Value: 0.0},
		{Key: "errmsg", Value: "Could not find host matching read preference for set north"},
		{Key: "code", Value: 133},
		{Key: "codeName", Value: "FailedToSatisfyReadPreference"},
	})
}

// replyTo returns a message that replies to another one.
func replyTo(request []byte, document bson.D) []byte {
	body, err := bson.Marshal(document)
	if err != nil {
		panic(err)
	}
	reply := make([]byte, opMsgBody, opMsgBody+len(body)) // its id, flags and kind are 0
	reply = append(reply, body...)
	binary.LittleEndian.PutUint32(reply, uint32(len(reply)))
	copy(reply[8:12], request[4:8])
	binary.LittleEndian.PutUint32(reply[12:], opMsg)
	return reply
}
