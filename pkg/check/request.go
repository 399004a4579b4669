package check

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"unicode"

	"flotilla.dev/flotilla/pkg/reach"
)

// client is the given one, which follows no redirect: neither a query nor a signed request is for anybody else, and a body
// would be lost.
func (a Asker) client(trust *tls.Config) *http.Client {
	client := *a.Client(trust)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client
}

// post makes a request and reads the answer to its bound. Its errors hold nothing of what the server says, nor the address,
// which may hold a secret.
func post(ctx context.Context, client *http.Client, to string, header http.Header, body []byte) (status int, answer []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return 0, nil, errors.New("the address is no URL")
	}
	request.Header = header
	request.Header.Set("User-Agent", "flotilla")
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, unreached(ctx, err)
	}
	defer func() { _ = response.Body.Close() }()
	if location := response.Header.Get("Location"); response.StatusCode >= 300 && response.StatusCode < 400 && location != "" {
		return 0, nil, errors.New("the server redirects to another address, which is not followed: give that one")
	}
	limit := int64(MaxAnswer)
	if response.StatusCode > 299 {
		limit = MaxError
	}
	answer, err = io.ReadAll(io.LimitReader(response.Body, limit+1))
	switch {
	case int64(len(answer)) > limit && response.StatusCode > 299:
		answer = answer[:limit]
	case int64(len(answer)) > limit:
		return 0, nil, fmt.Errorf("the server's answer has more than %d KiB", limit>>10)
	case err != nil && response.StatusCode <= 299:
		return 0, nil, unreached(ctx, err)
	}
	return response.StatusCode, answer, nil
}

// unreached says why there is no answer.
func unreached(ctx context.Context, err error) error {
	var (
		refusal *reach.Refusal
		dns     *net.DNSError
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		timeout net.Error
	)
	switch {
	case errors.As(err, &refusal):
		return fmt.Errorf("the server may not be asked: %w", refusal)
	case errors.Is(ctx.Err(), context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("the server did not answer in time")
	case ctx.Err() != nil:
		return errors.New("it was given up")
	case errors.As(err, &dns):
		return errors.New("the server's name is not known")
	case errors.As(err, &unknown):
		return errors.New("the server's certificate is of an authority that is not trusted: put it into ca.crt of the Secret")
	case errors.As(err, &host):
		return errors.New("the server's certificate is for another name")
	case errors.As(err, &invalid):
		return errors.New("the server's certificate is not valid")
	}
	return errors.New("the server cannot be reached, or broke off")
}

// mask are texts that are not to be told.
type mask []string

func (m *mask) add(secrets ...string) {
	for _, s := range secrets {
		if s != "" {
			*m = append(*m, s)
		}
	}
}

// Words is the beginning of a text that somebody else wrote, on one line.
func Words(text string) string { return mask(nil).clean(text) }

// maxSaid bounds what is told of a server's words.
const maxSaid = 256

// clean is the beginning of a server's words, on one line and without secrets.
func (m mask) clean(text string) string {
	for _, secret := range m {
		text = strings.ReplaceAll(text, secret, "***")
	}
	text = strings.ToValidUTF8(text, "\uFFFD")
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
	if len(text) <= maxSaid {
		return text
	}
	return strings.ToValidUTF8(text[:maxSaid], "") + "..."
}
