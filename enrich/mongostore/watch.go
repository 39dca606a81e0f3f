package mongostore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"

	"weft/enrich"
)

// ErrNoChangeStream means that MongoDB does not support change streams for a collection: the server is not a member of
// a replica set, or the collection is a view or a time series.
var ErrNoChangeStream = errors.New("change streams are not supported")

const (
	// changeWait is how long MongoDB waits for a change before it responds that none happened.
	changeWait = 500 * time.Millisecond

	// changeTimeout is the timeout of each command of a change stream.
	changeTimeout = 5 * time.Second

	// changeBatch is the maximum number of changes in a reply. If there are fewer, no others have happened.
	changeBatch = 1000

	// maxStall is how long a stream may make no progress. MongoDB writes to the oplog of an idle replica set every ten
	// seconds, which the stream notices. Without progress, a member or a shard does not respond to mongos, and another
	// stream may be sent to another member.
	maxStall = 45 * time.Second

	// The delay after a change stream has ended doubles from minWatchDelay to maxWatchDelay.
	minWatchDelay = 100 * time.Millisecond
	maxWatchDelay = 5 * time.Second

	// unsupportedDelay is the delay after which MongoDB may support change streams, because an operator has converted it
	// to a replica set.
	unsupportedDelay = time.Minute
)

// Watch reports the changes of the collection of sources, which is the same for all, until ctx ends or the Store is
// closed. Until then, reads for its sources with a cache policy return data that a majority of the replica set has, and
// that includes all reported changes.
func (s *Store) Watch(ctx context.Context, sources []*enrich.Source, to enrich.Changes) {
	w := &watch{store: s, sources: sources, to: to}
	defer to.Lost()
	for failures := 0; ctx.Err() == nil; failures++ {
		client, err := s.await(ctx)
		if err != nil {
			return
		}
		err = w.follow(ctx, client)
		if ctx.Err() != nil || client.retired.Err() != nil {
			to.Lost()
			continue
		}
		if w.state == following {
			failures = 0
		}
		delay := min(minWatchDelay<<min(failures, 10), maxWatchDelay)
		if errors.Is(err, ErrNoChangeStream) {
			delay = unsupportedDelay
			client.forget(sources[0])
			to.Unsupported()
			w.setState(unsupported, err)
		} else {
			to.Lost()
			if !errors.Is(err, errStalled) {
				w.setState(failing, err)
			}
		}
		select {
		case <-ctx.Done():
		case <-client.retired.Done():
		case <-time.After(delay):
		}
	}
}

// watch is a call of Watch.
type watch struct {
	store   *Store
	sources []*enrich.Source
	to      enrich.Changes

	state     watchState
	collation collation
	isSharded bool // the server is a mongos

	client *client  // of token
	token  bson.Raw // resumes the stream after the last reported change; nil if it cannot be resumed
}

type watchState uint8

const (
	starting    watchState = iota
	following              // changes are reported
	failing                // the last stream has ended, or could not be opened
	unsupported            // see ErrNoChangeStream
)

// setState calls Watched if the state changes.
func (w *watch) setState(state watchState, err error) {
	if state == w.state {
		return
	}
	w.state = state
	if w.store.Watched != nil {
		w.store.Watched(w.sources[0].Database, w.sources[0].Collection, err)
	}
}

// follow reports changes until the stream ends, and returns why.
func (w *watch) follow(ctx context.Context, client *client) error {
	ctx, done := client.use(ctx)
	defer done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(client.retired, cancel)()
	if client != w.client {
		w.client, w.token = client, nil // the token may be of another cluster
	}
	session, err := client.StartSession(options.Session().SetCausalConsistency(false))
	if err != nil {
		return err
	}
	defer session.EndSession(context.WithoutCancel(ctx))
	began, isNew := time.Now(), w.token == nil // not resumed
	stream, err := w.open(mongo.NewSessionContext(ctx, session))
	if mongo.IsTimeout(err) {
		w.token = nil // MongoDB may have to scan too much of the oplog, at the next time as well
	}
	if err == nil {
		if isNew {
			w.to.Begin()
			w.current(began) // no cache has older data
		}
		err = w.report(ctx, stream, session)
		now, cancelNow := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		_ = stream.Close(now)
		cancelNow()
	}
	if !isResumable(err) {
		w.token = nil
	}
	return fmt.Errorf("change stream of %s.%s: %w", w.sources[0].Database, w.sources[0].Collection, err)
}

// isResumable reports whether a stream that ended with an error can be resumed. Examples for errors that come back are
// that the changes are not in the oplog any more, that a change is too large, and that the collection was dropped.
func isResumable(err error) bool {
	var failed mongo.CommandError
	isInvalid := errors.Is(err, errInvalidated) || errors.Is(err, ErrNoChangeStream)
	return !isInvalid && (!errors.As(err, &failed) || failed.HasErrorLabel("NetworkError") ||
		failed.HasErrorLabel("ResumableChangeStreamError"))
}

// open resumes the stream, or begins a new one.
func (w *watch) open(ctx context.Context) (*mongo.ChangeStream, error) {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	o := options.ChangeStream().SetFullDocument(options.UpdateLookup).SetBatchSize(changeBatch).SetMaxAwaitTime(changeWait)
	if w.token != nil {
		o.SetResumeAfter(w.token)
		return w.watch(ctx, o)
	}
	start, err := w.hello(ctx)
	if err != nil {
		return nil, err
	}
	if w.collation, err = w.client.collationOf(ctx, w.sources[0]); err != nil {
		return nil, err
	}
	// Reads from then on have the changes at that time, for example that the collection was dropped.
	stream, err := w.watch(ctx, o.SetStartAtOperationTime(&bson.Timestamp{T: start.T, I: start.I + 1}))
	if err != nil {
		return nil, err
	}
	w.client.seen(w.sources[0], start)
	return stream, nil
}

func (w *watch) watch(ctx context.Context, o *options.ChangeStreamOptionsBuilder) (*mongo.ChangeStream, error) {
	stream, err := w.client.majority(w.sources[0]).Watch(ctx, w.pipeline(), o)
	const onlyOnReplicaSets, notOnViews = 40573, 166
	var failed mongo.CommandError
	if errors.As(err, &failed) && (failed.Code == onlyOnReplicaSets || failed.Code == notOnViews) {
		err = fmt.Errorf("%w: %w", ErrNoChangeStream, err)
	}
	return stream, err
}

// pipeline returns only those parts of changes that report needs.
func (w *watch) pipeline() mongo.Pipeline {
	paths := []string{"operationType", "clusterTime", "documentKey._id"}
	for _, src := range w.sources {
		for _, c := range src.Where {
			paths = append(paths, "fullDocument."+c.Field)
		}
	}
	return mongo.Pipeline{{{Key: "$project", Value: includes(paths)}}}
}

var (
	// errInvalidated is the error of a stream that cannot continue, because its collection was dropped or renamed.
	errInvalidated = errors.New("the collection was dropped or renamed")

	// errStalled is the error of a stream without progress; see maxStall.
	errStalled = errors.New("no progress")
)

// report reports the changes of a stream until it ends.
func (w *watch) report(ctx context.Context, stream *mongo.ChangeStream, session *mongo.Session) error {
	progress := time.Now()
	var earlier moment
	for {
		now := moment{at: time.Now()}
		count, err := w.reportBatch(ctx, stream)
		token := stream.ResumeToken()
		if !bytes.Equal(token, w.token) {
			progress = now.at
		}
		switch {
		case err != nil:
			return err
		case stream.ID() == 0:
			return errInvalidated
		case now.at.Sub(progress) >= maxStall:
			return errStalled
		}
		w.token = token
		if count == changeBatch {
			continue // there may be more changes of the same time
		}
		now.clusterTime = clusterTimeOf(session)
		switch reached := timeOf(token); {
		case w.isComplete(reached, now):
			w.current(now.at)
			earlier = moment{}
		case earlier.at.IsZero():
			earlier = now
		case w.isComplete(reached, earlier):
			w.current(earlier.at)
			earlier = now
		}
	}
}

func (w *watch) current(at time.Time) {
	w.to.Current(at)
	w.setState(following, nil)
}

// reportBatch waits for changes, reports them and returns their number.
func (w *watch) reportBatch(ctx context.Context, stream *mongo.ChangeStream) (count int, err error) {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	for stream.TryNext(ctx) {
		count++
		var c change
		if err := bson.Unmarshal(stream.Current, &c); err != nil {
			return count, err
		}
		w.client.seen(w.sources[0], c.ClusterTime) // before it is reported: reads from then on have it
		if err := w.reportChange(ctx, c); err != nil {
			return count, err
		}
		if stream.RemainingBatchLength() == 0 {
			break
		}
	}
	return count, stream.Err()
}

// change is an event of a change stream.
type change struct {
	OperationType string         `bson:"operationType"`
	ClusterTime   bson.Timestamp `bson:"clusterTime"`
	DocumentKey   bson.Raw       `bson:"documentKey"`
	FullDocument  bson.Raw       `bson:"fullDocument"` // nil if it was deleted in the meantime
}

func (w *watch) reportChange(ctx context.Context, c change) error {
	switch c.OperationType {
	case "insert", "replace", "update":
		return w.reportDocument(ctx, c)
	case "delete":
		w.to.Change(documentID(c.DocumentKey))
	default: // drop, rename, dropDatabase, invalidate, or of a later version
		w.to.ChangeAny()
	}
	return nil
}

// reportDocument reports a document with its new keys. The caches know the keys that it had before.
func (w *watch) reportDocument(ctx context.Context, c change) (err error) {
	if w.collation == collationUnknown { // the first document creates a collection
		if w.collation, err = w.client.collationOf(ctx, w.sources[0]); err != nil {
			return err
		}
	}
	w.to.Change(documentID(c.DocumentKey))
	if c.FullDocument == nil {
		return nil
	}
	for _, src := range w.sources {
		key, match := keyIn(src, c.FullDocument)
		switch {
		case match == matchesUnknown || match == matchesOne && w.collation != collationSimple && hasText(key):
			w.to.ChangeAny()
		case match == matchesOne:
			w.to.Match(src, key)
		}
	}
	return nil
}

func hasText(key enrich.Key) bool {
	for _, v := range key {
		if v.Type == enrich.String {
			return true
		}
	}
	return false
}

// collation says how a collection compares strings.
type collation uint8

const (
	collationUnknown collation = iota // there is no such collection
	collationSimple                   // as bytes
	collationOther
)

// collationOf returns the collation of the collection of a source. It fails if the collection is a view or time series.
func (c *client) collationOf(ctx context.Context, src *enrich.Source) (collation, error) {
	specs, err := c.Database(src.Database).ListCollectionSpecifications(ctx, bson.D{{Key: "name", Value: src.Collection}})
	switch {
	case err != nil || len(specs) == 0:
		return collationUnknown, err
	case specs[0].Type != "collection":
		return collationUnknown, fmt.Errorf("%w for a %s", ErrNoChangeStream, specs[0].Type)
	case len(specs[0].Options.Lookup("collation").Value) > 0:
		return collationOther, nil
	default:
		return collationSimple, nil
	}
}

// hello sets isSharded, and returns the logical time of the cluster.
func (w *watch) hello(ctx context.Context) (bson.Timestamp, error) {
	anyMember := options.RunCmd().SetReadPreference(readpref.Nearest())
	reply, err := w.client.Database("admin").RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}, anyMember).Raw()
	if err != nil {
		return bson.Timestamp{}, err
	}
	kind, _ := reply.Lookup("msg").StringValueOK()
	w.isSharded = kind == "isdbgrid"
	t, i, ok := reply.Lookup("operationTime").TimestampOK()
	if !ok {
		return bson.Timestamp{}, fmt.Errorf("%w by a standalone server", ErrNoChangeStream)
	}
	return bson.Timestamp{T: t, I: i}, nil
}
