package mongostore

import (
	"context"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"weft/enrich"
	"weft/test/harness"
	"weft/test/storetest"
)

// replicaSet is a replica set of three members. Each member has the documents of all users.
type replicaSet struct {
	members []*harness.Mongod
	uri     string // with "?replicaSet=rs0"
}

// TestReplicaSet injects faults into a replica set under load.
func TestReplicaSet(t *testing.T) {
	source := storetest.Source()
	source.Database = "replicaset"
	set := startReplicaSet(t, source)
	for _, preference := range []string{"nearest", "secondaryPreferred"} {
		t.Run("frozen member, "+preference, func(t *testing.T) { testFrozenMember(t, set, source, preference) })
	}
	t.Run("frozen member, noticed", func(t *testing.T) { testFrozenMemberIsNoticed(t, set, source) })
	t.Run("lagging member", func(t *testing.T) { testLaggingMember(t, set) })
	t.Run("step-down", func(t *testing.T) { testStepDown(t, set, source) })
	t.Run("lost primary", func(t *testing.T) { testLostPrimary(t, set, source) }) // the last: two members are left
}

// open returns a store that reads the set as weft does.
func (r *replicaSet) open(t *testing.T, preference string, with ...func(*options.ClientOptions)) enrich.Store {
	t.Helper()
	store, err := Open(r.uri+"&readPreference="+preference, with...)
	must(t, err)
	t.Cleanup(func() { _ = store.Close(context.Background()) })
	return enrich.Limit(enrich.Batch(store), 10*clients)
}

func startReplicaSet(t *testing.T, source *enrich.Source) *replicaSet {
	t.Helper()
	r := &replicaSet{}
	config := bson.A{}
	var hosts []string
	for i := range 3 {
		member, err := harness.StartMongod(t.Context(), harness.MongodOptions{
			Dir:  t.TempDir(),
			Args: []string{"--replSet", "rs0", "--oplogSize", "50", "--setParameter", "enableTestCommands=1"},
		})
		must(t, err)
		t.Cleanup(func() { _ = member.Kill() })
		r.members = append(r.members, member)
		host := strings.TrimPrefix(member.URI(), "mongodb://")
		hosts = append(hosts, host)
		config = append(config, bson.D{{Key: "_id", Value: i}, {Key: "host", Value: host}})
	}
	settings := bson.D{{Key: "electionTimeoutMillis", Value: 2000}, {Key: "heartbeatIntervalMillis", Value: 500}}
	_, err := r.members[0].Run(t.Context(), "admin", bson.D{{Key: "replSetInitiate", Value: bson.D{
		{Key: "_id", Value: "rs0"}, {Key: "members", Value: config}, {Key: "settings", Value: settings},
	}}})
	must(t, err)
	// On a busy machine, the latency of a member may exceed the default threshold of 15 ms, and it would get no reads.
	r.uri = "mongodb://" + strings.Join(hosts, ",") + "/?replicaSet=rs0&localThresholdMS=10000"
	client, err := mongo.Connect(options.Client().ApplyURI(r.uri).SetWriteConcern(&writeconcern.WriteConcern{W: 3}))
	must(t, err)
	defer func() { _ = client.Disconnect(context.Background()) }()
	insertUsers(t, client.Database(source.Database).Collection(source.Collection)) // waits for a primary
	return r
}

// awaitPrimary returns the member that is the primary. It waits for the end of an election.
func (r *replicaSet) awaitPrimary(t *testing.T) (primary *harness.Mongod) {
	t.Helper()
	harness.Eventually(t, "a member is the primary", func() bool {
		primary = r.primary(t)
		return primary != nil
	})
	return primary
}

// primary returns the member that is the primary, or nil.
func (r *replicaSet) primary(t *testing.T) *harness.Mongod {
	t.Helper()
	for _, member := range r.members {
		hello, err := member.Run(t.Context(), "admin", bson.D{{Key: "hello", Value: 1}})
		must(t, err)
		if isPrimary, _ := hello.Lookup("isWritablePrimary").BooleanOK(); isPrimary {
			return member
		}
	}
	return nil
}

// secondary returns a member that is not the primary.
func (r *replicaSet) secondary(t *testing.T) *harness.Mongod {
	t.Helper()
	primary := r.primary(t)
	for _, member := range r.members {
		if member != primary {
			return member
		}
	}
	return nil
}
