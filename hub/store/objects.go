package store

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Objects says which object storage keeps blobs.
type Objects struct {
	// Bucket, and the Prefix of all that is kept in it, without slashes at its ends; empty: none.
	Bucket, Prefix string
	// Endpoint is host or host:port.
	Endpoint string
	Region   string
	Insecure bool
	// AccessKey and SecretKey are the credential.
	AccessKey, SecretKey string
}

// ParseObjects reads s3://BUCKET/PREFIX?endpoint=HOST&region=REGION&insecure=true. Its errors wrap fleet.ErrInvalid and
// hold nothing of what was given.
func ParseObjects(text string) (Objects, error) {
	bad := func(why string) (Objects, error) {
		return Objects{}, fmt.Errorf("%w: %s; it is s3://BUCKET/PREFIX?endpoint=HOST[:PORT]&region=REGION", fleet.ErrInvalid, why)
	}
	parsed, err := url.Parse(text)
	if err != nil || parsed.Scheme != "s3" || parsed.Host == "" || parsed.Fragment != "" {
		return bad("it is not the URL of a bucket")
	}
	if parsed.User != nil {
		return bad("it holds a credential, which is given by FLOTILLA_BLOBS_ACCESS_KEY and FLOTILLA_BLOBS_SECRET_KEY")
	}
	o := Objects{Bucket: parsed.Host, Prefix: strings.Trim(parsed.Path, "/"), Region: "us-east-1"}
	query, err := url.ParseQuery(parsed.RawQuery)
	if err != nil {
		return bad("its query is not understood")
	}
	for key, values := range query {
		switch value := values[len(values)-1]; key {
		case "endpoint":
			o.Endpoint = value
		case "region":
			o.Region = value
		case "insecure":
			if value != "true" && value != "false" {
				return bad("insecure is neither true nor false")
			}
			o.Insecure = value == "true"
		default:
			return bad("its query has other keys than endpoint, region and insecure")
		}
	}
	if o.Endpoint == "" || strings.Contains(o.Endpoint, "/") {
		return bad("its endpoint is not host or host:port")
	}
	return o, nil
}

// Name is what the database is marked with: not the endpoint, which may get another name.
func (o Objects) Name() string { return strings.TrimSuffix("s3://"+o.Bucket+"/"+o.Prefix, "/") }

// under is a key below the prefix.
func (o Objects) under(key string) string {
	if o.Prefix == "" {
		return key
	}
	return o.Prefix + "/" + key
}

func openObjects(config Objects) (*objects, error) {
	transport, err := minio.DefaultTransport(!config.Insecure)
	if err != nil {
		return nil, err
	}
	transport.Proxy = http.ProxyFromEnvironment
	transport.ResponseHeaderTimeout = 30 * time.Second
	transport.MaxIdleConnsPerHost = parallelObjects
	client, err := minio.New(config.Endpoint, &minio.Options{
		Creds: credentials.NewStaticV4(config.AccessKey, config.SecretKey, ""), Secure: !config.Insecure, Region: config.Region,
		Transport: transport, MaxRetries: 1, // it is retried here
	})
	if err != nil {
		return nil, fmt.Errorf("blobs in %s: %w: its endpoint is not host or host:port", config.Name(), fleet.ErrInvalid)
	}
	return &objects{client: client, config: config}, nil
}

// marker is the key of the object that says whose the storage is.
func (o *objects) marker() string { return o.config.under("flotilla-store") }

// markObjects makes sure that the storage is this database's: a bucket that two hubs shared, or another one at an address that
// was mistyped, would cost blobs.
func (s *Store) markObjects(ctx context.Context, o *objects) error {
	owner, err := o.get(ctx, o.marker())
	if err == nil && string(owner) != s.id {
		return elseOwned(o)
	}
	if err == nil || err != errNoObject {
		return err
	}
	var used bool
	const query = `SELECT blobs = $1 AND EXISTS (SELECT FROM blob WHERE object IS NOT NULL) FROM hub`
	if err := s.pool.QueryRow(ctx, query, o.name()).Scan(&used); err != nil {
		return explain("look where blobs are", err)
	}
	if used {
		return fmt.Errorf("%w: the blobs of this database are in %s, and what is at that endpoint is another bucket, or was emptied: check --blobs", fleet.ErrConflict, o.name())
	}
	other := false
	err = o.try(ctx, "mark the object storage", func(ctx context.Context) error {
		options := minio.PutObjectOptions{DisableMultipart: true}
		options.SetMatchETagExcept("*")
		_, err := o.client.PutObject(ctx, o.config.Bucket, o.marker(), strings.NewReader(s.id), int64(len(s.id)), options)
		if other = minio.ToErrorResponse(err).Code == minio.PreconditionFailed; other {
			return nil // another replica came first, or another hub
		}
		return err
	})
	if err != nil || !other {
		return err
	}
	if owner, err = o.get(ctx, o.marker()); err == nil && string(owner) != s.id {
		return elseOwned(o)
	}
	return err
}

func elseOwned(o *objects) error {
	return fmt.Errorf("%w: %s holds the blobs of another hub's database: give this one a prefix of its own", fleet.ErrConflict, o.name())
}
