package session

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	"flotilla.dev/flotilla/pkg/rpc"
	"flotilla.dev/flotilla/pkg/run"
	"flotilla.dev/flotilla/pkg/telemetry"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

// enrol redeems the join token and keeps the identity it gives. It tries until it succeeds or the hub refuses; the
// same key goes with every try, over restarts too, so that a lost answer costs nothing.
func (c *Client) enrol(ctx context.Context) (Identity, error) {
	if c.Token == "" {
		return Identity{}, fmt.Errorf("%w: this cluster is not enrolled: give the spoke a join token (fleetctl cluster register NAME)", fleet.ErrTerminal)
	}
	token, err := identity.ParseJoinToken(c.Token)
	if err != nil {
		return Identity{}, err
	}
	back := run.Backoff{Min: backoffMin, Max: backoffMax}
	for {
		enrolled, err := c.enrolOnce(ctx, token)
		switch {
		case err == nil:
			c.Log.Info("enrolled", telemetry.KeyCluster, enrolled.ClusterName)
			return enrolled, nil
		case ctx.Err() != nil:
			return Identity{}, context.Cause(ctx)
		case isRefusal(err):
			return Identity{}, fmt.Errorf("enrol with join token %s: %w: %w", token.ID, fleet.ErrTerminal, err)
		}
		c.trouble.warn("not enrolled yet; trying on", err)
		if err := run.Sleep(ctx, back.Next()); err != nil {
			return Identity{}, err
		}
	}
}

func (c *Client) enrolOnce(ctx context.Context, token identity.JoinToken) (Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	encoded, err := c.bindKey(ctx, token)
	if err != nil {
		return Identity{}, err
	}
	key, err := identity.DecodeClientKey(encoded)
	if err != nil {
		return Identity{}, err
	}
	request, err := identity.NewRequest(key)
	if err != nil {
		return Identity{}, err
	}
	conn, err := c.dial(token.Pin, nil)
	if err != nil {
		return Identity{}, err
	}
	defer conn.Close()
	answer, err := spokev1.NewSpokeServiceClient(conn).Enroll(ctx, &spokev1.EnrollRequest{
		Token: c.Token, CertificateRequest: request, KubeSystemUid: c.Facts(ctx).KubeSystemUID,
	})
	if err != nil {
		return Identity{}, rpc.FromStatus(err)
	}
	cluster, err := uuid.Parse(answer.GetClusterId())
	if err != nil {
		return Identity{}, fmt.Errorf("enrol: %w: cluster id %q", fleet.ErrInvalid, answer.GetClusterId())
	}
	if err := checkCredentials(answer.GetCredentials(), key.Public()); err != nil {
		return Identity{}, fmt.Errorf("enrol: %w", err)
	}
	return c.Store.Update(ctx, func(i *Identity) {
		if i.ClusterID != cluster {
			i.Mark = fleet.StateID{} // another cluster's states are counted anew
		}
		i.ClusterID, i.ClusterName, i.Pin = cluster, answer.GetClusterName(), token.Pin
		i.Key, i.Certificate = encoded, answer.GetCredentials().GetCertificate()
		i.EnrolKey = nil
		i.SigningKeys = keysFromWire(answer.GetCredentials().GetSigningKeys())
	})
}

// bindKey returns the key for this token, kept already: what is sent is never lost.
func (c *Client) bindKey(ctx context.Context, token identity.JoinToken) ([]byte, error) {
	mine, err := c.Store.Load(ctx)
	if err != nil {
		return nil, err
	}
	if mine.EnrolToken == token.ID && len(mine.EnrolKey) > 0 {
		return mine.EnrolKey, nil
	}
	key, err := identity.NewClientKey()
	if err != nil {
		return nil, err
	}
	encoded, err := identity.EncodeClientKey(key)
	if err != nil {
		return nil, err
	}
	_, err = c.Store.Update(ctx, func(i *Identity) { i.EnrolKey, i.EnrolToken = encoded, token.ID })
	return encoded, err
}

// mayEnrolAnew reports whether the configured token is one of the same hub that this cluster has not redeemed: it is
// another than the last one, or the last one's answer never came.
func (c *Client) mayEnrolAnew(mine Identity) bool {
	token, err := identity.ParseJoinToken(c.Token)
	return err == nil && token.Pin == mine.Pin && (token.ID != mine.EnrolToken || len(mine.EnrolKey) > 0)
}

// checkCredentials refuses credentials that are of no use: a certificate of another key, or no key to verify with.
func checkCredentials(credentials *spokev1.Credentials, public any) error {
	cert, err := x509.ParseCertificate(credentials.GetCertificate())
	if err != nil {
		return fmt.Errorf("the certificate: %w: %w", fleet.ErrInvalid, err)
	}
	mine, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return fmt.Errorf("the certificate: %w", err)
	}
	if !bytes.Equal(mine, cert.RawSubjectPublicKeyInfo) {
		return fmt.Errorf("the certificate: %w: it is of another key", fleet.ErrInvalid)
	}
	if len(credentials.GetSigningKeys()) == 0 {
		return fmt.Errorf("the signing keys: %w: there are none", fleet.ErrInvalid)
	}
	return nil
}

// isRefusal reports whether the hub has decided: the same request will always be refused.
func isRefusal(err error) bool {
	for _, sentinel := range []error{fleet.ErrDenied, fleet.ErrUnauthenticated, fleet.ErrInvalid, fleet.ErrNotFound, fleet.ErrTerminal, fleet.ErrExists} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}
