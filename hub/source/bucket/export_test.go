package bucket

import (
	"context"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"golang.org/x/oauth2"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/fleet"
)

// Identity takes the place of the hub's own at the clouds.
type Identity struct {
	AWS   func(sts string) credentials.Provider
	GCP   func() (oauth2.TokenSource, error)
	Azure func(clientID string) (azcore.TokenCredential, error)
}

// SetIdentity gives the hub another identity.
func (b *Bucket) SetIdentity(i Identity) {
	b.identity = identity{aws: i.AWS, gcp: func(context.Context) (oauth2.TokenSource, error) { return i.GCP() }, azure: i.Azure}
}

// CheckKey says whether a key can be a file.
func CheckKey(key string) error {
	return upstream{Upstream: source.Upstream{URL: "https://s3.example.com/app"}}.checkKey(key)
}

// Amazons reports whether an STS is one of AWS.
func Amazons(endpoint string) bool { return amazons(endpoint) }

// Object is what a list says of one.
type Object struct{ Key, ETag string }

// Revision is what objects, sorted by key, come to.
func Revision(objects []Object) fleet.Revision {
	var kept []object
	for _, o := range objects {
		kept = append(kept, object{key: o.Key, etag: o.ETag})
	}
	return revision(kept)
}

// MaxPages is how many pages a list may have.
const MaxPages = maxPages
