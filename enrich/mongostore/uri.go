package mongostore

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"

	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

const (
	plainScheme = "mongodb://"
	srvScheme   = "mongodb+srv://" // whose hosts and some options are in DNS
)

// Check returns what is wrong with a connection string, or with the files it names, as far as that can be known without
// DNS.
func Check(uri string) error {
	if rest, isSRV := strings.CutPrefix(uri, srvScheme); isSRV {
		if strings.ContainsAny(srvHost(uri), ",:") {
			return errors.New("a mongodb+srv URI has one host, without a port")
		}
		// The driver looks up hosts while it parses.
		uri = plainScheme + rest
		for _, o := range uriOptions(uri) {
			if o.name == "srvmaxhosts" || o.name == "srvservicename" {
				uri = strings.Replace(uri, o.text, "", 1)
			}
		}
	}
	return options.Client().ApplyURI(uri).Validate()
}

// Files returns the names of the files that a connection string names: certificates and keys.
func Files(uri string) (names []string) {
	for _, o := range uriOptions(uri) {
		switch o.name {
		case "tlscafile", "sslcertificateauthorityfile", "tlscertificatekeyfile", "sslclientcertificatekeyfile",
			"tlscertificatefile", "tlsprivatekeyfile":
			names = append(names, o.value)
		}
	}
	return names
}

type uriOption struct{ name, value, text string }

// uriOptions returns the options of a connection string, with names in lower case.
func uriOptions(uri string) (list []uriOption) {
	_, query, _ := strings.Cut(uri, "?")
	for _, text := range strings.FieldsFunc(query, func(c rune) bool { return c == '&' || c == ';' }) {
		name, value, _ := strings.Cut(text, "=")
		if value, err := url.QueryUnescape(value); err == nil {
			list = append(list, uriOption{strings.ToLower(name), value, text})
		}
	}
	return list
}

// srvHost returns the host of a mongodb+srv URI.
func srvHost(uri string) string {
	host := strings.TrimPrefix(uri, srvScheme)
	host = host[strings.Index(host, "@")+1:]
	if end := strings.IndexAny(host, "/?"); end >= 0 {
		host = host[:end]
	}
	return host
}

// clientOptions returns the options of a connection string. It looks up those that are in DNS.
func clientOptions(ctx context.Context, uri string) (*options.ClientOptions, error) {
	if strings.HasPrefix(uri, srvScheme) {
		// The driver takes a TXT record that cannot be looked up for one that does not exist, and so for no options.
		var failure *net.DNSError
		_, err := net.DefaultResolver.LookupTXT(ctx, srvHost(uri))
		if err != nil && (!errors.As(err, &failure) || !failure.IsNotFound) {
			return nil, err
		}
	}
	o := options.Client().ApplyURI(uri)
	if o.AppName == nil {
		o.SetAppName("weft")
	}
	return o, o.Validate()
}
