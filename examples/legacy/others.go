package main

import (
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
)

// forward returns a reverse proxy for a URL, or nil if it is empty.
func forward(target string) (http.Handler, error) {
	if target == "" {
		return nil, nil
	}
	to, err := url.Parse(target)
	if err != nil || to.Scheme == "" || to.Host == "" {
		return nil, fmt.Errorf("-others %s: write a URL, for example http://127.0.0.1:8000", target)
	}
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host // the server checks the host
	}}, nil
}
