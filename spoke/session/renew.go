package session

import (
	"context"
	"crypto/x509"
	"time"

	"flotilla.dev/flotilla/pkg/identity"
	"flotilla.dev/flotilla/pkg/rpc"
	"flotilla.dev/flotilla/pkg/run"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
)

// renew gets the next certificate at about half the life of the present one, and then ends the round with errRenewed:
// the next one uses it. Until the hub sees the new certificate used, it accepts the old one too, so that a crash between
// any two steps, or an answer that is lost or comes late, does no harm.
func (r *round) renew(ctx context.Context, cert *x509.Certificate) error {
	if err := run.Sleep(ctx, time.Until(renewAt(cert, run.Jitter(100, 0.1)))); err != nil {
		return nil
	}
	back := run.Backoff{Min: time.Second, Max: time.Minute}
	for {
		err := r.client.renewOnce(ctx, r.hub)
		if err == nil {
			return errRenewed
		}
		if ctx.Err() == nil {
			r.client.trouble.warn("the certificate is not renewed yet; trying on", err)
		}
		if err := run.Sleep(ctx, back.Next()); err != nil {
			return nil
		}
	}
}

// renewAt is when so many hundredths of half the certificate's life are over.
func renewAt(cert *x509.Certificate, percent time.Duration) time.Time {
	return cert.NotBefore.Add(cert.NotAfter.Sub(cert.NotBefore) / 200 * percent)
}

func (c *Client) renewOnce(ctx context.Context, hub spokev1.SpokeServiceClient) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	renewed, err := c.renewal(ctx, hub)
	if err != nil {
		return err
	}
	mine, err := c.Store.Update(ctx, renewed)
	if err != nil {
		return err
	}
	c.use(mine)
	c.Log.Info("certificate renewed")
	return nil
}

// renewal is the change of the identity that the next certificate makes: that of the one which the hub gave and which
// may be kept, as when the answer to the write was lost. Were another asked for meanwhile, a crash would leave one that
// is neither in use nor the newest, which the hub takes for one that was replaced.
func (c *Client) renewal(ctx context.Context, hub spokev1.SpokeServiceClient) (func(*Identity), error) {
	c.mu.Lock()
	renewed := c.renewed
	c.mu.Unlock()
	if renewed != nil {
		return renewed, nil
	}
	key, err := identity.NewClientKey()
	if err != nil {
		return nil, err
	}
	encoded, err := identity.EncodeClientKey(key)
	if err != nil {
		return nil, err
	}
	request, err := identity.NewRequest(key)
	if err != nil {
		return nil, err
	}
	answer, err := hub.Renew(ctx, &spokev1.RenewRequest{CertificateRequest: request})
	if err != nil {
		return nil, rpc.FromStatus(err)
	}
	if err := checkCredentials(answer.GetCredentials(), key.Public()); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.renewed = func(i *Identity) {
		i.Key, i.Certificate = encoded, answer.GetCredentials().GetCertificate()
		i.SigningKeys = keysFromWire(answer.GetCredentials().GetSigningKeys())
	}
	return c.renewed, nil
}
