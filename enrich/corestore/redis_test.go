package corestore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"weft/test/harness"
)

// TestRedisKeys: keys have a prefix and expire.
func TestRedisKeys(t *testing.T) {
	server := startRedis(t)
	set(t, openRedis(t, server), "k", []byte("v"))
	if got := run(t, server, "KEYS", "*"); got != "[weft:k]" {
		t.Error(got)
	}
	ms, err := strconv.Atoi(run(t, server, "PTTL", "weft:k"))
	if ttl := time.Duration(ms) * time.Millisecond; err != nil || ttl > time.Hour || ttl < time.Hour/2 {
		t.Errorf("ttl %v, %v", ttl, err)
	}
}

// TestDamagedValues: a value that is damaged, or of another version, does not exist. An Update replaces it.
func TestDamagedValues(t *testing.T) {
	server := startRedis(t)
	r := openRedis(t, server)
	valid := encode([]byte("value"))
	damaged := map[string]string{
		"empty": "", "text": "text of another program", "short": "w", "header only": string(valid[:headerSize]),
		"version": "w0" + string(valid[2:]), "longer": string(valid) + "x", "shorter": string(valid[:len(valid)-1]),
	}
	for i := range valid {
		changed := append([]byte(nil), valid...)
		changed[i]++
		damaged[fmt.Sprint("byte ", i)] = string(changed)
	}
	for name, stored := range damaged {
		t.Run(name, func(t *testing.T) {
			run(t, server, "SET", "weft:k", stored)
			expect(t, r, "k", "")
			if err := r.Update(t.Context(), "k", func(old []byte) ([]byte, time.Duration) {
				if old != nil {
					t.Errorf("old value %q", old)
				}
				return []byte("new"), time.Hour
			}); err != nil {
				t.Fatal(err)
			}
			expect(t, r, "k", "new")
			run(t, server, "SET", "weft:k", stored)
			set(t, r, "k", nil)
			expect(t, r, "k", "")
		})
	}
}

// TestOtherType: a key whose value is not a string does not exist. An Update replaces it.
func TestOtherType(t *testing.T) {
	server := startRedis(t)
	r := openRedis(t, server)
	run(t, server, "RPUSH", "weft:k", "element of another program")
	expect(t, r, "k", "")
	set(t, r, "k", nil)
	expect(t, r, "k", "")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // Update would try again for ever
	defer cancel()
	replace := func([]byte) ([]byte, time.Duration) { return []byte("new"), time.Hour }
	if err := r.Update(ctx, "k", replace); err != nil {
		t.Fatal(err)
	}
	expect(t, r, "k", "new")
}

// TestUpdateConflict: change is called again if another Update was faster.
func TestUpdateConflict(t *testing.T) {
	server := startRedis(t)
	r := openRedis(t, server)
	set(t, r, "k", []byte("0"))
	var olds []string
	if err := r.Update(t.Context(), "k", func(old []byte) ([]byte, time.Duration) {
		olds = append(olds, string(old))
		switch len(olds) {
		case 1:
			set(t, open(t, server.URL()), "k", []byte("1"))
		case 2:
			set(t, open(t, server.URL()), "k", []byte("1")) // the same value, but another Update
		case 3:
			set(t, open(t, server.URL()), "k", nil)
		}
		return []byte("2"), time.Hour
	}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(olds, ","); got != "0,1,1," {
		t.Errorf("old values %s", got)
	}
	expect(t, r, "k", "2")
}

func TestInvalidURL(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]string{
		"localhost:6379":                                     "scheme",
		"":                                                   "scheme",
		"http://localhost":                                   "invalid URL scheme: http",
		"redis://localhost/x":                                `invalid database number: "x"`,
		"redis://localhost/0/1":                              "invalid URL path",
		"redis://localhost?size=1":                           "unexpected option: size",
		"redis://localhost?pool_size=x":                      "invalid pool_size",
		"redis://localhost:x":                                "invalid port",
		"redis://localhost:0":                                `invalid port "0"`,
		"redis://localhost:65536/1":                          `invalid port "65536"`,
		"redis://localhost?addr=b:99999":                     `invalid port "99999"`,
		"unix://":                                            "empty unix socket path",
		"redis://localhost?addr=b":                           "unable to parse addr param: b",
		"unix:///s?addr=b:1":                                 "invalid URL scheme: unix",
		"redis://localhost?tls_ca_file=" + file:              "need rediss://",
		"rediss://localhost?tls_ca_file=/nowhere":            "tls_ca_file: open /nowhere",
		"rediss://localhost?tls_ca_file=" + file:             "no valid certificate",
		"rediss://localhost?tls_cert_file=a":                 "required together",
		"rediss://localhost?tls_cert_file=a&tls_key_file=b":  "open a:",
		"rediss://localhost?addr=b:1&tls_ca_file=" + file:    "no valid certificate",
		"rediss://localhost?addr=b:1&tls_ca_file=/n&size=12": "unexpected option: size",
	} {
		if err := Check(url); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", url, err, want)
		}
	}
	for _, url := range []string{
		"redis://", "redis://h", "rediss://u:p@h:1/2?pool_size=3", "unix:///s?db=1", "redis://h?addr=i:1&addr=j:2",
	} {
		if err := Check(url); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// TestConnections: values of one server are the same on all ways to it.
func TestConnections(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "redis.sock")
	server := startRedis(t, "--unixsocket", socket)
	// The user may do no more than what is documented.
	run(t, server, "ACL", "SETUSER", "weft", "on", ">p@ss", "~weft:*",
		"+get", "+set", "+del", "+getrange", "+eval", "+evalsha")
	set(t, openRedis(t, server), "k", []byte("v"))
	tlsAddr, ca := startTLS(t, server.Addr())
	for _, url := range []string{
		"redis://weft:p%40ss@" + server.Addr(),
		"redis://weft:p%40ss@" + server.Addr() + "/0",
		"unix://" + socket,
		"unix://weft:p%40ss@" + socket + "?db=0",
		"rediss://weft:p%40ss@" + tlsAddr + "?tls_ca_file=" + ca + "&tls_cert_file=" + ca + "&tls_key_file=" + ca,
	} {
		t.Run(url, func(t *testing.T) {
			r := open(t, url)
			expect(t, r, "k", "v")
			set(t, r, "other", []byte("1"))
			set(t, r, "other", nil)
		})
	}
	expect(t, open(t, server.URL()+"/1"), "k", "") // another database
	for url, want := range map[string]string{
		"redis://weft:wrong@" + server.Addr():        "WRONGPASS",
		"rediss://" + tlsAddr:                        "certificate",
		"rediss://" + tlsAddr + "?tls_ca_file=" + ca: "certificate required",
		"redis://127.0.0.1:1":                        "connection refused",
	} {
		if _, err := open(t, url).Get(t.Context(), "k"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", url, err, want)
		}
	}
}

// startTLS starts a TLS server that requires a client certificate and forwards connections to a server. It returns its
// address, and a file with its certificate and key, which clients can use as well.
func startTLS(t *testing.T, to string) (addr, file string) {
	t.Helper()
	web := httptest.NewTLSServer(nil) // for its certificate
	web.Close()
	certificate := web.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	file = filepath.Join(t.TempDir(), "pair.pem")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequireAnyClientCert,
	})
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { forward(client, to) })
		}
	})
	t.Cleanup(func() { _ = listener.Close(); running.Wait() }) // the connections were closed before
	return listener.Addr().String(), file
}

// forward copies between a client and a server until the client closes its connection.
func forward(client net.Conn, to string) {
	defer client.Close()
	if client.(*tls.Conn).Handshake() != nil {
		return
	}
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	var replies sync.WaitGroup
	replies.Go(func() { _, _ = io.Copy(client, server) })
	_, _ = io.Copy(server, client)
	_ = server.Close()
	replies.Wait()
}

// TestSetURL: a new password is used for new connections, and values of the same server remain in use.
func TestSetURL(t *testing.T) {
	server := startRedis(t)
	setPassword := func(password string) {
		run(t, server, "ACL", "SETUSER", "weft", "on", "resetpass", ">"+password, "~weft:*", "+@all")
	}
	url := func(password string) string { return "redis://weft:" + password + "@" + server.Addr() }
	setPassword("first")
	r := open(t, url("first"))
	g := openGuard(t, r)
	set(t, g, "k", []byte("v"))
	harness.Eventually(t, "no probe uses a connection", func() bool { // then none needs the first password
		connections := (*r.client.Load()).PoolStats()
		return run(t, server, "EXISTS", "weft:"+probeKey) == "1" && connections.IdleConns == connections.TotalConns
	})
	setPassword("second")
	if err := r.SetURL("redis://weft:x@h:port"); err == nil {
		t.Error("no error for an invalid URL")
	}
	expect(t, g, "k", "v") // the connection is still authenticated
	if err := r.SetURL(url("second")); err != nil {
		t.Fatal(err)
	}
	run(t, server, "CLIENT", "KILL", "TYPE", "normal")
	expect(t, g, "k", "v")

	other := startRedis(t)
	set(t, openGuard(t, openRedis(t, other)), "k", []byte("of another server"))
	if err := r.SetURL(other.URL()); err != nil {
		t.Fatal(err)
	}
	expect(t, g, "k", "") // it may be older than what the first server has
}

// TestCluster: the keys of a cluster are on both of its servers.
func TestCluster(t *testing.T) {
	nodes := []*harness.Redis{startClusterNode(t, 0, 8191), startClusterNode(t, 8192, 16383)}
	run(t, nodes[0], "CLUSTER", "MEET", "127.0.0.1", nodes[1].Options.Port)
	harness.Eventually(t, "both servers know all slots", func() bool {
		for _, node := range nodes {
			if !strings.Contains(run(t, node, "CLUSTER", "INFO"), "cluster_state:ok") {
				return false
			}
		}
		return true
	})
	g := openGuard(t, open(t, nodes[0].URL()+"?addr="+nodes[1].Addr()))
	for i := range 50 {
		key := fmt.Sprint("key ", i)
		set(t, g, key, []byte(key))
		expect(t, g, key, key)
	}
	for _, node := range nodes {
		if n := run(t, node, "DBSIZE"); n == "0" {
			t.Errorf("%s has no keys", node.Addr())
		}
	}
	set(t, g, "key 1", nil)
	expect(t, g, "key 1", "")
	one := open(t, nodes[1].URL()+"?addr="+nodes[1].Addr()) // which tells the client the other one
	for i := range 50 {
		if _, err := one.Get(t.Context(), fmt.Sprint("key ", i)); err != nil {
			t.Error(err)
		}
	}
}

func startClusterNode(t *testing.T, first, last int) *harness.Redis {
	t.Helper()
	var server *harness.Redis
	for attempt := 1; server == nil; attempt++ {
		port, err := harness.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if port > 1<<16-10001 { // the port of the cluster's bus is 10000 higher
			continue
		}
		server, err = harness.StartRedis(t.Context(), harness.RedisOptions{
			Dir: t.TempDir(), Port: port, Args: []string{"--cluster-enabled", "yes"},
		})
		if err != nil && attempt > 20 {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = server.Kill() })
	command := []any{"CLUSTER", "ADDSLOTS"}
	for slot := first; slot <= last; slot++ {
		command = append(command, slot)
	}
	run(t, server, command...)
	return server
}
