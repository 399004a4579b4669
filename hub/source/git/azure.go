package git

import (
	"context"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"flotilla.dev/flotilla/hub/source"
	hub "flotilla.dev/flotilla/hub/source/identity"
)

// azureScope is Azure DevOps' own, the same everywhere.
const azureScope = "499b84ac-1321-427f-aa17-267ca6975798/.default"

// azureToken is one of the hub's own identity.
func (g *Git) azureToken(ctx context.Context, u source.Upstream) (string, time.Time, error) {
	g.mu.Lock()
	identity := g.config.Azure
	g.mu.Unlock()
	if identity == nil {
		own, err := hub.Azure(cloud.AzurePublic, "")
		if err != nil {
			return "", time.Time{}, u.Fail(source.KindAuth, "the hub has no identity at Azure; an administrator of the hub gives it one (workload identity)")
		}
		g.mu.Lock()
		g.config.Azure = own
		g.mu.Unlock()
		identity = own
	}
	token, err := identity.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{azureScope}})
	if ctx.Err() != nil {
		return "", time.Time{}, context.Cause(ctx)
	}
	if err != nil {
		g.config.Log.Warn("no token of Azure", "err", err)
		return "", time.Time{}, u.Fail(source.KindAuth, "Azure gave the hub's identity no token; the hub's log says more")
	}
	return token.Token, token.ExpiresOn, nil
}
