package corestore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"weft/enrich"
)

const (
	// prefix is that of all keys. Access control lists may need it.
	prefix = "weft:"

	// maxValue is the maximum size of a value, in bytes. A larger one would take most of getBudget on a network of
	// 1 Gbit/s, and slow down others.
	maxValue = 1 << 20
)

// Redis is an [enrich.CoreStore] in a Redis server or cluster, which other processes share. It has no timeouts of its
// own: use it in a [Guard].
type Redis struct {
	client  atomic.Pointer[redis.UniversalClient]
	servers string // the URL without the user
	replace *redis.Script

	// restarted is called after a connection to a server that was restarted or replaced since the last connection to its
	// address. The server may have values of an earlier time.
	restarted func()

	mu   sync.Mutex
	runs map[string]string // by address: the identity of the server's process
}

var _ enrich.CoreStore = (*Redis)(nil)

// NewRedis returns a Redis for a URL; see [Redis.SetURL]. It does not connect. Call [Redis.Close] at the end.
func NewRedis(url string) (*Redis, error) {
	logging.Disable() // go-redis would write to standard error
	r := &Redis{replace: redis.NewScript(replaceScript), runs: map[string]string{}, restarted: func() {}}
	return r, r.SetURL(url)
}

// SetURL replaces the connections, for example because the password has changed. Calls that are in progress may fail.
// It returns an error and changes nothing if the URL is invalid. SetURL must not be called concurrently.
//
// The URL has the form redis://USER:PASSWORD@HOST:PORT/DATABASE or unix://USER:PASSWORD@PATH?db=DATABASE, and rediss://
// uses TLS. With the parameter addr=HOST:PORT, which may be repeated, the servers are those of a cluster. tls_ca_file,
// tls_cert_file and tls_key_file name PEM files. Other parameters are those of go-redis, such as pool_size.
func (r *Redis) SetURL(url string) error {
	client, servers, err := r.open(url)
	if err != nil {
		return err
	}
	if r.servers != servers && r.servers != "" {
		r.restarted()
	}
	r.servers = servers
	if previous := r.client.Swap(&client); previous != nil {
		return (*previous).Close()
	}
	return nil
}

// Check returns an error if a URL is invalid. It does not connect.
func Check(url string) error {
	client, _, err := new(Redis).open(url)
	if err != nil {
		return err
	}
	return client.Close()
}

// open returns a client for a URL, and the URL without the user.
func (r *Redis) open(text string) (client redis.UniversalClient, servers string, err error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, "", err
	}
	query := u.Query()
	if err := checkPorts(append(query["addr"], u.Host)); err != nil {
		return nil, "", err
	}
	files, isCluster := takeTLSFiles(query), query.Has("addr")
	u.RawQuery = query.Encode()
	if isCluster {
		o, err := redis.ParseClusterURL(u.String())
		if err == nil {
			err = files.apply(o.TLSConfig)
		}
		if err != nil {
			return nil, "", err
		}
		o.ContextTimeoutEnabled, o.NewClient = true, r.newClient
		client = redis.NewClusterClient(o)
	} else {
		o, err := redis.ParseURL(u.String())
		if err == nil {
			err = files.apply(o.TLSConfig)
		}
		if err != nil {
			return nil, "", err
		}
		client = r.newClient(o)
	}
	u.User = nil
	return client, u.String(), nil
}

// checkPorts returns an error if a host has a port that is not one of TCP.
func checkPorts(hosts []string) error {
	for _, host := range hosts {
		port := (&url.URL{Host: host}).Port()
		if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0) {
			return fmt.Errorf("invalid port %q; want 1 to 65535", port)
		}
	}
	return nil
}

// newClient returns a client of one server.
func (r *Redis) newClient(o *redis.Options) *redis.Client {
	o.ContextTimeoutEnabled = true // the caller's context limits each command
	o.MaxRetries = -1              // a failed read is a miss
	o.DialerRetries = 1
	o.DisableIdentity = true // one command less per connection
	o.Protocol = 2           // nothing here needs what version 3 adds
	o.OnConnect = func(ctx context.Context, c *redis.Conn) error { return r.identify(ctx, o.Addr, c) }
	return redis.NewClient(o)
}

// identify calls restarted if the server at an address is another process than before.
func (r *Redis) identify(ctx context.Context, addr string, c *redis.Conn) error {
	info, err := c.Info(ctx, "server").Result()
	if err != nil {
		if errors.As(err, new(redis.Error)) { // the user may not run INFO
			return nil
		}
		return err
	}
	_, rest, _ := strings.Cut(info, "\nrun_id:")
	run, _, _ := strings.Cut(rest, "\r")
	r.mu.Lock()
	defer r.mu.Unlock()
	if previous, ok := r.runs[addr]; ok && previous != run {
		r.restarted()
	}
	r.runs[addr] = run
	return nil
}

// Close closes all connections. Calls fail from then on.
func (r *Redis) Close() error { return (*r.client.Load()).Close() }

// Get implements [enrich.CoreStore].
func (r *Redis) Get(ctx context.Context, key string) ([]byte, error) {
	stored, err := r.get(ctx, key)
	return decode(stored), err
}

func (r *Redis) get(ctx context.Context, key string) ([]byte, error) {
	stored, err := (*r.client.Load()).Get(ctx, prefix+key).Bytes()
	if errors.Is(err, redis.Nil) || redis.HasErrorPrefix(err, "WRONGTYPE") { // not a value of weft
		return nil, nil
	}
	return stored, err
}

// replaceScript sets or deletes a key, unless its value has another header than expected. A value of another type, for
// which GETRANGE returns an error, has none. A transaction with WATCH would need a connection of its own and more round
// trips.
const replaceScript = `
local header = redis.pcall('GETRANGE', KEYS[1], 0, ARGV[1] - 1)
if type(header) == 'table' then header = '' end
if header ~= ARGV[2] then return 0 end
if ARGV[3] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4]) end
return 1`

// Update implements [enrich.CoreStore]. It tries again until ctx ends if another Update replaces the value first.
func (r *Redis) Update(
	ctx context.Context, key string, change func(old []byte) (value []byte, ttl time.Duration),
) error {
	for {
		stored, err := r.get(ctx, key)
		if err != nil {
			return err
		}
		var next []byte
		value, ttl := change(decode(stored))
		if len(value) > 0 && len(value) <= maxValue && ttl > 0 {
			next = encode(value)
		} else if len(stored) == 0 {
			return nil
		}
		expected := stored[:min(len(stored), headerSize)]
		replaced, err := r.replace.Run(ctx, *r.client.Load(), []string{prefix + key},
			headerSize, expected, next, max(1, ttl.Milliseconds())).Bool()
		if replaced || err != nil {
			return err
		}
	}
}

// MaxValue implements [enrich.CoreStore].
func (r *Redis) MaxValue(string) int { return maxValue }

// The header of a stored value: the version of its format, a random number that differs for each Update, and a checksum
// of that number and the value. Values of a removed version, or damaged ones, do not have a valid header.
const (
	version    = "w1"
	headerSize = len(version) + 8 + 4
)

func encode(value []byte) []byte {
	stored := make([]byte, headerSize, headerSize+len(value))
	copy(stored, version)
	binary.BigEndian.PutUint64(stored[len(version):], rand.Uint64())
	binary.BigEndian.PutUint32(stored[headerSize-4:], checksum(stored, value))
	return append(stored, value...)
}

// decode returns the value in what is stored; nil if it has no valid header.
func decode(stored []byte) []byte {
	if len(stored) <= headerSize || string(stored[:len(version)]) != version {
		return nil
	}
	value := stored[headerSize:]
	if binary.BigEndian.Uint32(stored[headerSize-4:]) != checksum(stored, value) {
		return nil
	}
	return value
}

func checksum(header, value []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(header[:headerSize-4], table), table, value)
}

// tlsFiles are the names of PEM files.
type tlsFiles struct{ ca, cert, key string }

// takeTLSFiles removes the names of files from the parameters of a URL.
func takeTLSFiles(query url.Values) tlsFiles {
	take := func(name string) string {
		defer query.Del(name)
		return query.Get(name)
	}
	return tlsFiles{ca: take("tls_ca_file"), cert: take("tls_cert_file"), key: take("tls_key_file")}
}

// apply adds the files to a configuration, which is nil without TLS. The client certificate is read for each
// connection, because it is renewed.
func (f tlsFiles) apply(config *tls.Config) error {
	if f == (tlsFiles{}) {
		return nil
	}
	if config == nil {
		return errors.New("tls_ca_file, tls_cert_file and tls_key_file need rediss://")
	}
	if f.ca != "" {
		bundle, err := os.ReadFile(f.ca)
		if err != nil {
			return fmt.Errorf("tls_ca_file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(bundle) {
			return fmt.Errorf("tls_ca_file: %s has no valid certificate", f.ca)
		}
	}
	if (f.cert == "") != (f.key == "") {
		return errors.New("tls_cert_file and tls_key_file are required together")
	}
	if f.cert == "" {
		return nil
	}
	load := func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		return &pair, err
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	if _, err := load(); err != nil {
		return fmt.Errorf("tls_cert_file and tls_key_file: %w", err)
	}
	return nil
}
