package main

import (
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// fault is the value of ?fault=: an optional delay and at most one fault by name.
type fault struct {
	delay time.Duration
	name  string
}

const validFaults = "delay:500ms, 500, 503, 404, 401, 403, 429, 304, redirect, reset, reset-body, truncated, " +
	"not-json, html, empty, 204, array, gzip, bomb, 200kb, 5mb, drip"

// parseFault parses the values of the query parameter, each a comma-separated list.
func parseFault(values []string) (fault, error) {
	var f fault
	for _, item := range strings.Split(strings.Join(values, ","), ",") {
		if item == "" {
			continue
		}
		if text, isDelay := strings.CutPrefix(item, "delay:"); isDelay {
			delay, err := time.ParseDuration(text)
			if err != nil || delay < 0 {
				return fault{}, fmt.Errorf("fault %q: write a delay as in delay:500ms or delay:2s", item)
			}
			f.delay += delay
			continue
		}
		if !slices.Contains(strings.Split(validFaults, ", "), item) {
			return fault{}, fmt.Errorf("unknown fault %q; use one of %s", item, validFaults)
		}
		if f.name != "" {
			return fault{}, fmt.Errorf("faults %s and %s: use only one, and a delay", f.name, item)
		}
		f.name = item
	}
	return f, nil
}

// ignoresUser reports whether the response does not depend on the user.
func (f fault) ignoresUser() bool {
	switch f.name {
	case "500", "503", "404", "401", "403", "429", "304", "redirect", "reset":
		return true
	}
	return false
}

// respond sends the faulty response. The body is the user's JSON; nil if ignoresUser.
func (f fault) respond(w http.ResponseWriter, r *http.Request, body []byte) {
	header := w.Header()
	switch f.name {
	case "404": // like the response for a missing user
		w.WriteHeader(http.StatusNotFound)
	case "500", "503", "401", "403", "429":
		switch f.name {
		case "401":
			header.Set("WWW-Authenticate", `Bearer realm="legacy"`)
		case "429", "503":
			header.Set("Retry-After", "1")
		}
		status, _ := strconv.Atoi(f.name)
		springError(w, r, status)
	case "304":
		header.Set("ETag", `"demo"`)
		w.WriteHeader(http.StatusNotModified)
	case "redirect":
		header.Set("Location", "/login")
		w.WriteHeader(http.StatusFound)
	case "reset":
		reset(w)
	case "reset-body":
		writeJSON(w, http.StatusOK, body[:len(body)/2])
		time.Sleep(50 * time.Millisecond) // a reset discards bytes that the client has not received yet
		reset(w)
	case "truncated":
		writeJSON(w, http.StatusOK, body[:len(body)/2])
	case "not-json":
		writeJSON(w, http.StatusOK, []byte("this is not JSON"))
	case "html":
		header.Set("Content-Type", "text/html;charset=UTF-8")
		writeChunk(w, []byte("<!DOCTYPE html><html><body><h1>It works!</h1></body></html>"))
	case "empty":
		header.Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusOK)
	case "204":
		w.WriteHeader(http.StatusNoContent)
	case "array":
		writeJSON(w, http.StatusOK, slices.Concat([]byte("["), body, []byte("]")))
	case "200kb": // less than the default of core.limit
		header.Set("Content-Type", "application/json")
		pad(w, body, "ö", 200<<10)
	case "5mb":
		header.Set("Content-Type", "application/json")
		pad(w, body, "x", 5<<20)
	case "gzip", "bomb":
		header.Set("Content-Type", "application/json")
		header.Set("Content-Encoding", "gzip")
		packed := gzip.NewWriter(w)
		if f.name == "bomb" {
			pad(packed, body, "x", 50<<20)
		} else if _, err := packed.Write(body); err != nil {
			return // the client has disconnected
		}
		_ = packed.Close()
	case "drip":
		header.Set("Content-Type", "application/json")
		drip(w, r, body)
	}
}

// reset ends the connection with a TCP reset instead of the rest of the response.
func reset(w http.ResponseWriter) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return // HTTP/2, which this server does not support
	}
	if tcp, ok := connection.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = connection.Close()
}

// pad writes the user's JSON with an additional string member of size bytes, a multiple of the letter's size.
func pad(w io.Writer, body []byte, letter string, size int) {
	if _, err := fmt.Fprintf(w, `%s,"padding":"`, body[:len(body)-1]); err != nil {
		return // the client has disconnected
	}
	block := []byte(strings.Repeat(letter, 1<<16/len(letter)))
	for ; size > 0; size -= len(block) {
		if _, err := w.Write(block[:min(size, len(block))]); err != nil {
			return
		}
	}
	_, _ = io.WriteString(w, `"}`)
}

// drip sends one byte every 100 ms.
func drip(w http.ResponseWriter, r *http.Request, body []byte) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for i := range body {
		if !writeChunk(w, body[i:i+1]) {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}
