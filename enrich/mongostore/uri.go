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
	srvScheme   = "mongodb+srv://" // hosts and some options are in DNS
)

// Check validates a connection string, and the files that it names, without DNS.
func Check(uri string) error {
	if rest, isSRV := strings.CutPrefix(uri, srvScheme); isSRV {
		if strings.ContainsAny(srvHost(uri), ",:") {
			return errors.New("a mongodb+srv URI has one host, without a port")
		}
		// The driver looks up the hosts of an SRV URI when it parses it.
		uri = plainScheme + rest
		for _, o := range uriOptions(uri) {
			if o.name == "srvmaxhosts" || o.name == "srvservicename" {
				uri = strings.Replace(uri, o.text, "", 1)
			}
		}
	}
	return options.Client().ApplyURI(uri).Validate()
}

// Files returns the names of the certificate and key files in a connection string.
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

// uriOptions returns the options of a connection string, with lower-case names.
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

// clientOptions returns the options of a connection string. It looks up options that are in DNS.
func clientOptions(ctx context.Context, uri string) (*options.ClientOptions, error) {
	if strings.HasPrefix(uri, srvScheme) {
		// The driver treats a TXT record that cannot be looked up as missing, and so as no options.
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
