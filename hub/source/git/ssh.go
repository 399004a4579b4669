package git

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"golang.org/x/crypto/ssh"

	"flotilla.dev/flotilla/hub/source"
)

// sshSession is a conversation over SSH: a connection for the list of refs, and another for objects, as over HTTP. It holds
// none open in between.
type sshSession struct {
	git        *Git
	upstream   source.Upstream
	credential *credential
}

var _ transport.UploadPackSession = (*sshSession)(nil)

// AdvertisedReferences implements transport.Session.
func (s *sshSession) AdvertisedReferences() (*packp.AdvRefs, error) {
	return s.AdvertisedReferencesContext(context.Background())
}

// AdvertisedReferencesContext implements transport.Session.
func (s *sshSession) AdvertisedReferencesContext(ctx context.Context) (*packp.AdvRefs, error) {
	channel, err := s.open(ctx, maxListing, fmt.Sprintf("its list of branches and tags has more than %d MiB", maxListing>>20))
	if err != nil {
		return nil, err
	}
	defer channel.Close()
	refs, err := channel.refs()
	if err != nil {
		return nil, err
	}
	_, _ = channel.in.Write(pktline.FlushPkt) // nothing is asked for; a server that is gone does no harm
	return refs, nil
}

// UploadPack implements transport.UploadPackSession.
func (s *sshSession) UploadPack(ctx context.Context, req *packp.UploadPackRequest) (*packp.UploadPackResponse, error) {
	if req.IsEmpty() {
		return nil, transport.ErrEmptyUploadPackRequest
	}
	if err := req.Validate(); err != nil {
		return nil, err
	}
	limit := s.git.config.Limits.Download
	channel, err := s.open(ctx, limit+maxListing, fmt.Sprintf("its objects have more than %d MiB; a source may have that much", limit>>20))
	if err != nil {
		return nil, err
	}
	response := packp.NewUploadPackResponse(req)
	err = channel.request(req)
	if err == nil {
		err = response.Decode(struct {
			io.Reader
			io.Closer
		}{newAcked(channel), channel})
	}
	if err != nil {
		_ = channel.Close()
		return nil, err
	}
	return response, nil
}

// Close implements io.Closer.
func (s *sshSession) Close() error { return nil }

// sshChannel is git-upload-pack at the server.
type sshChannel struct {
	io.ReadCloser // what it says, bounded
	in            io.WriteCloser
	said          *head // by standard error
	close         func()
}

// Close ends the connection.
func (c *sshChannel) Close() error {
	c.close()
	return nil
}

// open connects and starts git-upload-pack.
func (s *sshSession) open(ctx context.Context, limit int64, tooMuch string) (_ *sshChannel, err error) {
	address, err := url.Parse(specOf(s.upstream).URL)
	if err != nil {
		return nil, err
	}
	host := net.JoinHostPort(address.Hostname(), cmp.Or(address.Port(), "22"))
	user := "git"
	if name := address.User.Username(); name != "" {
		user = name
	}
	conn, err := s.git.config.Network.DialThrough(ctx, s.credential.proxy, host)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() {
		if err != nil {
			stop()
			_ = conn.Close()
		}
	}()
	algorithms := s.credential.hosts.algorithms(host)
	if len(algorithms) == 0 {
		return nil, s.upstream.BadSecret(secretRef, "known_hosts of the Secret has no key of %s; add the line that ssh-keyscan prints for it", host)
	}
	client, channels, requests, err := ssh.NewClientConn(conn, host, &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(s.credential.signer)}, HostKeyCallback: s.credential.hosts.check(host),
		HostKeyAlgorithms: algorithms, ClientVersion: "SSH-2.0-flotilla",
	})
	if err != nil {
		return nil, err
	}
	session, err := ssh.NewClient(client, channels, requests).NewSession()
	if err != nil {
		return nil, err
	}
	channel := &sshChannel{said: &head{}}
	out, err := session.StdoutPipe()
	if err == nil {
		channel.in, err = session.StdinPipe()
	}
	if err != nil {
		return nil, err
	}
	session.Stderr = channel.said
	end := closer{out, conn}
	channel.ReadCloser = s.git.config.Network.Bounded(ctx, end, limit, tooMuch)
	channel.close = func() {
		stop()
		_ = channel.ReadCloser.Close() // and the connection with it: whatever is left is not wanted
	}
	return channel, session.Start("git-upload-pack '" + strings.ReplaceAll(address.Path, "'", `'\''`) + "'")
}

// closer reads from one and closes another.
type closer struct {
	io.Reader
	io.Closer
}

// refs reads the list that the conversation begins with.
func (c *sshChannel) refs() (*packp.AdvRefs, error) {
	refs := packp.NewAdvRefs()
	err := refs.Decode(c.ReadCloser)
	switch {
	case errors.Is(err, packp.ErrEmptyAdvRefs), err == nil && refs.IsEmpty():
		return nil, transport.ErrEmptyRemoteRepository
	case errors.Is(err, packp.ErrEmptyInput): // it said nothing but on standard error
		return nil, transport.ErrRepositoryNotFound
	case err != nil:
		return nil, err
	}
	transport.FilterUnsupportedCapabilities(refs.Capabilities)
	return refs, nil
}

// request asks for objects.
func (c *sshChannel) request(req *packp.UploadPackRequest) error {
	if _, err := c.refs(); err != nil {
		return err
	}
	var text bytes.Buffer
	if err := req.UploadRequest.Encode(&text); err != nil {
		return err
	}
	if err := req.UploadHaves.Encode(&text, true); err != nil {
		return err
	}
	if err := pktline.NewEncoder(&text).EncodeString("done\n"); err != nil {
		return err
	}
	if _, err := c.in.Write(text.Bytes()); err != nil {
		return err
	}
	return c.in.Close()
}

// head drops all but the first bytes of what is written: a server's text is not shown.
type head struct{ written int }

func (h *head) Write(p []byte) (int, error) {
	h.written += len(p)
	return len(p), nil
}
