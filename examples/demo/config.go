package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"weft/test/harness"
)

// config is the configuration from environment variables.
type config struct {
	data       string // absolute path of the data directory
	port       int    // Envoy's listener
	adminPort  int    // Envoy's admin interface
	weftPort   int    // weft's metrics and health
	legacyPort int    // the demo's legacy service; 0 if LEGACY is set
	mongoPort  int    // the demo's mongod; 0 if MONGODB_URI is set
	legacy     string // host:port of the legacy service
	mongodbURI string
	rules      string // absolute path of the rules file; empty means the built-in rules
	module     bool   // weft runs in Envoy's process
	page       string // absolute path of the page's directory; empty means no page and no control endpoint
}

// configure reads the environment. Errors contain the variable.
func configure(getenv func(string) string) (config, error) {
	data, err := filepath.Abs(cmp.Or(getenv("DATA"), ".demo"))
	if err != nil {
		return config{}, fmt.Errorf("DATA: %w", err)
	}
	c := config{data: data, legacy: getenv("LEGACY"), mongodbURI: getenv("MONGODB_URI")}
	if rules := getenv("WEFT_RULES"); rules != "" {
		if c.rules, err = filepath.Abs(rules); err != nil {
			return config{}, fmt.Errorf("WEFT_RULES: %w", err)
		}
	}
	if c.port, err = portFrom(getenv, "PORT", 10000); err != nil {
		return config{}, err
	}
	if c.adminPort, err = portFrom(getenv, "ADMIN_PORT", 9901); err != nil {
		return config{}, err
	}
	if c.weftPort, err = portFrom(getenv, "WEFT_ADMIN_PORT", 9902); err != nil {
		return config{}, err
	}
	switch mode := getenv("MODE"); mode {
	case "module":
		c.module = true
	case "", "ext_proc":
	default:
		return config{}, fmt.Errorf("MODE=%s: write MODE=ext_proc or MODE=module", mode)
	}
	if c.legacy != "" {
		if host, port, err := net.SplitHostPort(c.legacy); err != nil || host == "" || port == "" {
			return config{}, fmt.Errorf("LEGACY=%s: write host:port, for example LEGACY=127.0.0.1:8080", c.legacy)
		}
	} else {
		if c.legacyPort, err = portFrom(getenv, "LEGACY_PORT", 8081); err != nil {
			return config{}, err
		}
		c.legacy = local(c.legacyPort)
	}
	if c.mongodbURI != "" {
		if !strings.HasPrefix(c.mongodbURI, "mongodb://") && !strings.HasPrefix(c.mongodbURI, "mongodb+srv://") {
			return config{}, errors.New("MONGODB_URI: write a connection string, for example " +
				"MONGODB_URI=mongodb://127.0.0.1:27017")
		}
	} else {
		if c.mongoPort, err = portFrom(getenv, "MONGODB_PORT", 27018); err != nil {
			return config{}, err
		}
		c.mongodbURI = "mongodb://" + local(c.mongoPort)
	}
	return c, nil
}

// usePage sets the directory of the page; empty means no page.
func (c *config) usePage(dir string) error {
	if dir == "" {
		return nil
	}
	if c.legacyPort == 0 {
		return errors.New("LEGACY: the demo's own legacy service serves the page; unset LEGACY, or use \"make run\"")
	}
	page, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(page, "index.html")); err != nil {
		return fmt.Errorf("the page needs an index.html: %w; \"make demo\" builds one, "+
			"\"make demo PAGE=directory\" uses your own", err)
	}
	c.page = page
	return nil
}

func portFrom(getenv func(string) string, variable string, byDefault int) (int, error) {
	text := getenv(variable)
	if text == "" {
		return byDefault, nil
	}
	port, err := strconv.Atoi(text)
	if err != nil || port < 1 || port > 65535 {
		return 0, fmt.Errorf("%s=%s: write a port from 1 to 65535, for example %s=%d",
			variable, text, variable, byDefault)
	}
	return port, nil
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// checkPorts checks that all ports are free, before anything is started.
func (c config) checkPorts() error {
	variables := make(map[int]string)
	for _, p := range []struct {
		variable string
		port     int
	}{
		{"PORT", c.port},
		{"ADMIN_PORT", c.adminPort},
		{"WEFT_ADMIN_PORT", c.weftPort},
		{"LEGACY_PORT", c.legacyPort},
		{"MONGODB_PORT", c.mongoPort},
	} {
		if p.port == 0 {
			continue
		}
		if other, ok := variables[p.port]; ok {
			return fmt.Errorf("%s and %s are both %d; change one, for example: %s=%d make run",
				other, p.variable, p.port, p.variable, freeAfter(p.port))
		}
		variables[p.port] = p.variable
		if err := awaitFree(p.port); err != nil {
			return fmt.Errorf("%s: %w; choose another, for example: %s=%d make run",
				p.variable, err, p.variable, freeAfter(p.port))
		}
	}
	return nil
}

// awaitFree checks that a port is free. It waits up to a second for the servers of a demo that was just killed.
func awaitFree(port int) error {
	for end := time.Now().Add(time.Second); ; time.Sleep(50 * time.Millisecond) {
		err := harness.CheckPort(port)
		if !errors.Is(err, harness.ErrPortBusy) || time.Now().After(end) {
			return err
		}
	}
}

// freeAfter returns the next free port.
func freeAfter(port int) int {
	for next := port + 1; next <= 65535; next++ {
		if harness.CheckPort(next) == nil {
			return next
		}
	}
	return 20000
}

// hosts returns the connection string without credentials and options.
func hosts(uri string) string {
	scheme, rest, _ := strings.Cut(uri, "://")
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		rest = rest[at+1:]
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	return scheme + "://" + rest[:end]
}
