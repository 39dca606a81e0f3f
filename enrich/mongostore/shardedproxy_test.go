package mongostore

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"weft/enrich"
	"weft/enrich/cache"
	"weft/test/harness"
)

// shardedProxy is a proxy to a member of a replica set that simulates a mongos. While its shard is stopped, reads fail,
// and change streams return no changes: a mongos waits for all shards. No server of MongoDB is needed but mongod.
type shardedProxy struct {
	uri    string
	member *harness.Mongod
	t      *testing.T

	mu    sync.Mutex
	token bson.Raw // that change streams have reached; nil unless the shard is stopped
}

func startShardedProxy(t *testing.T, member *harness.Mongod) *shardedProxy {
	t.Helper()
	p := &shardedProxy{t: t, member: member}
	proxy, err := harness.StartMongoProxy(strings.TrimPrefix(member.URI(), "mongodb://"), p.reply)
	must(t, err)
	t.Cleanup(proxy.Close)
	p.uri = proxy.URI
	return p
}

// stopShard stops the shard: change streams make no progress.
func (p *shardedProxy) stopShard(c *mongo.Collection) {
	p.t.Helper()
	stream, err := c.Watch(p.t.Context(), mongo.Pipeline{})
	must(p.t, err)
	defer func() { must(p.t, stream.Close(p.t.Context())) }()
	p.setToken(stream.ResumeToken())
}

func (p *shardedProxy) startShard() { p.setToken(nil) }

func (p *shardedProxy) setToken(token bson.Raw) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.token = token
}

// reply returns the reply to a message that mongod does not get; nil if mongod gets it.
func (p *shardedProxy) reply(message []byte) []byte {
	p.mu.Lock()
	token := p.token
	p.mu.Unlock()
	switch command, name := commandIn(message); {
	case name == "hello":
		return p.replyAsMongod(message, bson.D{{Key: "msg", Value: "isdbgrid"}})
	case token != nil && name == "find":
		return errorReply(message)
	case token != nil && name == "getMore":
		time.Sleep(50 * time.Millisecond) // mongos waits for changes
		return p.replyAsMongod(message, bson.D{{Key: "cursor", Value: bson.D{
			{Key: "id", Value: command.Lookup("getMore")},
			{Key: "ns", Value: "d.c"},
			{Key: "nextBatch", Value: bson.A{}},
			{Key: "postBatchResumeToken", Value: token},
		}}})
	default:
		return nil
	}
}

// replyAsMongod returns a reply with fields, and with what mongod says of its limits and of the time.
func (p *shardedProxy) replyAsMongod(message []byte, fields bson.D) []byte {
	hello, err := p.member.Run(p.t.Context(), "admin", bson.D{{Key: "hello", Value: 1}})
	if err != nil {
		return errorReply(message) // the test has ended
	}
	for _, name := range []string{
		"ok", "$clusterTime", "operationTime", "minWireVersion", "maxWireVersion", "maxBsonObjectSize",
		"maxMessageSizeBytes", "maxWriteBatchSize", "logicalSessionTimeoutMinutes",
	} {
		fields = append(fields, bson.E{Key: name, Value: hello.Lookup(name)})
	}
	return replyTo(message, fields)
}

// TestCacheOfAShardedCluster: while a shard does not respond, the cache is not used, or says that a document is older.
func TestCacheOfAShardedCluster(t *testing.T) {
	member, uri := startMember(t)
	proxy := startShardedProxy(t, member)
	src := cached("id")
	db := dial(t, uri).Database(src.Database)
	c := db.Collection(src.Collection)
	write := func(n int) {
		t.Helper()
		_, err := c.InsertOne(t.Context(), bson.D{{Key: "_id", Value: -n}, {Key: "id", Value: 7}, {Key: "n", Value: n}})
		must(t, err)
		_, err = c.DeleteOne(t.Context(), bson.D{{Key: "_id", Value: 1 - n}})
		must(t, err)
	}
	store := openStore(t, proxy.uri)
	cache := cache.New(enrich.Batch(store), store.Watch)
	defer cache.Close()
	cache.Use([]*enrich.Rule{{Sources: []*enrich.Source{src}}})
	expect := func(status enrich.CacheStatus, follows bool, want string) {
		t.Helper()
		harness.Eventually(t, string(status)+" "+want, func() bool {
			_, err := db.Collection("other").InsertOne(t.Context(), bson.D{}) // the cluster's time advances
			must(t, err)
			ext := cache.Find(t.Context(), src, number(7))[0]
			return ext.Cache == status && string(ext.JSON) == want && (ext.Stale != nil) == (status == enrich.CacheStale) &&
				cache.Stats()[0].Follows == follows
		})
	}
	for n := range 3 {
		write(2*n + 1)
		expect(enrich.CacheHit, true, fmt.Sprintf(`{"n":%d}`, 2*n+1))
		proxy.stopShard(c)
		expect(enrich.CacheStale, false, fmt.Sprintf(`{"n":%d}`, 2*n+1))
		write(2*n + 2) // while changes are not reported
		proxy.startShard()
		expect(enrich.CacheHit, true, fmt.Sprintf(`{"n":%d}`, 2*n+2))
	}
}
