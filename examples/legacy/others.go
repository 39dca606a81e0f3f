package main

import (
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
)

// forward returns a handler that passes requests on to the server at a URL, as they are, or nil for "".
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
		r.Out.Host = r.In.Host // the server looks at who was asked
	}}, nil
}
