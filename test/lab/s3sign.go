package lab

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// s3Key is what belongs to an access key.
type s3Key struct {
	secret  string
	token   string    // of temporary keys
	expires time.Time // zero: never
}

// signature is an Authorization header of version 4.
type signature struct {
	accessKey, scope, date, region, service string
	signed                                  []string // names of headers
	value                                   string
}

// skew is as much as a client's clock may be off.
const skew = 15 * time.Minute

// verify checks who sent a request, and that it arrived as it was sent. It leaves the request with its plain body.
func (s *S3) verify(r *http.Request) error {
	if r.Header.Get("Authorization") == "" {
		if s.config.Public && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			return nil
		}
		return denied("AccessDenied", "the request is not signed")
	}
	sig, err := parseSignature(r.Header.Get("Authorization"))
	if err != nil {
		return err
	}
	key, err := s.key(sig, r)
	if err != nil {
		return err
	}
	sent, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || time.Since(sent).Abs() > skew || !strings.HasPrefix(r.Header.Get("X-Amz-Date"), sig.date) {
		return denied("RequestTimeTooSkewed", "the date %q is not now", r.Header.Get("X-Amz-Date"))
	}
	signing := sig.key(key.secret)
	toSign := strings.Join([]string{"AWS4-HMAC-SHA256", r.Header.Get("X-Amz-Date"), sig.scope, hexSum([]byte(sig.canonical(r)))}, "\n")
	if !hmac.Equal([]byte(sig.value), []byte(hexMAC(signing, toSign))) {
		return denied("SignatureDoesNotMatch", "the signature is not that of the secret key")
	}
	return verifyBody(r, sig, signing)
}

func (s *S3) key(sig signature, r *http.Request) (s3Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, ok := s.keys[sig.accessKey]
	switch {
	case !ok:
		return key, denied("InvalidAccessKeyId", "no such access key")
	case r.Header.Get("X-Amz-Security-Token") != key.token:
		return key, denied("InvalidToken", "the session token is not that of the access key")
	case !key.expires.IsZero() && time.Now().After(key.expires):
		return key, denied("ExpiredToken", "the access key has expired")
	}
	return key, nil
}

func parseSignature(header string) (signature, error) {
	var sig signature
	fields, ok := strings.CutPrefix(header, "AWS4-HMAC-SHA256 ")
	if !ok {
		return sig, denied("AccessDenied", "the signature is not of version 4")
	}
	for _, field := range strings.Split(fields, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		switch name {
		case "Credential":
			sig.accessKey, sig.scope, _ = strings.Cut(value, "/")
		case "SignedHeaders":
			sig.signed = strings.Split(value, ";")
		case "Signature":
			sig.value = value
		}
	}
	scope := strings.Split(sig.scope, "/")
	if len(scope) != 4 || scope[3] != "aws4_request" || !slices.Contains(sig.signed, "host") || !slices.Contains(sig.signed, "x-amz-date") {
		return sig, denied("AuthorizationHeaderMalformed", "the signature covers too little")
	}
	sig.date, sig.region, sig.service = scope[0], scope[1], scope[2]
	return sig, nil
}

// key is derived from the secret for a day, region and service.
func (sig signature) key(secret string) []byte {
	key := []byte("AWS4" + secret)
	for _, part := range []string{sig.date, sig.region, sig.service, "aws4_request"} {
		key = mac(key, part)
	}
	return key
}

// canonical is the request in the one form that is signed.
func (sig signature) canonical(r *http.Request) string {
	var headers strings.Builder
	for _, name := range sig.signed {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = strconv.FormatInt(r.ContentLength, 10)
		}
		headers.WriteString(name + ":" + strings.Join(strings.Fields(value), " ") + "\n")
	}
	return strings.Join([]string{
		r.Method, r.URL.EscapedPath(), strings.ReplaceAll(r.URL.Query().Encode(), "+", "%20"),
		headers.String(), strings.Join(sig.signed, ";"), r.Header.Get("X-Amz-Content-Sha256"),
	}, "\n")
}

// verifyBody compares the body with what was signed of it, and leaves it without its chunks' frames.
func verifyBody(r *http.Request, sig signature, key []byte) error {
	sent, err := io.ReadAll(r.Body)
	if err != nil {
		return denied("IncompleteBody", "%v", err)
	}
	announced := r.Header.Get("X-Amz-Content-Sha256")
	switch {
	case strings.HasPrefix(announced, "STREAMING-"):
		signed := strings.HasPrefix(announced, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
		chunks := chunks{sig: sig, key: key, date: r.Header.Get("X-Amz-Date"), signed: signed}
		if sent, err = chunks.read(sent); err != nil {
			return err
		}
		r.Header.Del("Content-Encoding")
		r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD") // it is plain from here on
	case announced != "UNSIGNED-PAYLOAD" && announced != hexSum(sent):
		return denied("XAmzContentSHA256Mismatch", "the body is not the one that was signed")
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(sent)), int64(len(sent))
	r.Header.Set("Content-Length", strconv.Itoa(len(sent)))
	return nil
}

// chunks are a body in frames, each signed after the one before. What follows the last one (checksums) is not looked at.
type chunks struct {
	sig    signature
	key    []byte
	date   string
	signed bool
}

func (c chunks) read(sent []byte) ([]byte, error) {
	previous := c.sig.value
	var body []byte
	for {
		line, rest, ok := bytes.Cut(sent, []byte("\r\n"))
		size, extension, _ := strings.Cut(string(line), ";")
		length, err := strconv.ParseInt(size, 16, 32)
		if !ok || err != nil || int64(len(rest)) < length {
			return nil, denied("IncompleteBody", "a chunk is cut off")
		}
		data := rest[:length]
		if c.signed {
			toSign := strings.Join([]string{"AWS4-HMAC-SHA256-PAYLOAD", c.date, c.sig.scope, previous, hexSum(nil), hexSum(data)}, "\n")
			previous = hexMAC(c.key, toSign)
			if extension != "chunk-signature="+previous {
				return nil, denied("SignatureDoesNotMatch", "a chunk is not the one that was signed")
			}
		}
		if length == 0 {
			return body, nil
		}
		body = append(body, data...)
		sent = bytes.TrimPrefix(rest[length:], []byte("\r\n"))
	}
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func hexMAC(key []byte, text string) string { return hex.EncodeToString(mac(key, text)) }

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
