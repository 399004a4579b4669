package bucket

import (
	"context"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"golang.org/x/oauth2"

	hub "flotilla.dev/flotilla/hub/source/identity"
)

// identity is the hub's own at the clouds, used only where an administrator granted it.
type identity struct {
	aws   func(sts string) credentials.Provider
	gcp   func(ctx context.Context) (oauth2.TokenSource, error)
	azure func(clientID string) (azcore.TokenCredential, error)
}

func hubIdentity() identity {
	return identity{
		aws:   hub.AWS,
		gcp:   func(ctx context.Context) (oauth2.TokenSource, error) { return hub.Google(ctx, gcsScope) },
		azure: func(clientID string) (azcore.TokenCredential, error) { return hub.Azure(cloud.AzurePublic, clientID) },
	}
}
