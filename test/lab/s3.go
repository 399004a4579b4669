package lab

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// S3Config says how an S3 server is reached and by whom.
type S3Config struct {
	SiteConfig
	// AccessKey and SecretKey sign requests; empty: AccessKey and SecretKey of the lab.
	AccessKey, SecretKey string
	// Public lets anybody read who does not sign.
	Public bool
	// PageSize is as many keys as a page of a list has at most; zero is 1,000.
	PageSize int
}

// The keys of an S3 server that was given none.
const (
	AccessKey = "labaccesskey"
	SecretKey = "labsecretkey-labsecretkey"
)

// S3 is an object store in memory, addressed by path. It checks signatures (version 4, of whole and of chunked bodies),
// lists in pages, obeys If-Match and If-None-Match of a PUT, and gives temporary keys (see AllowLDAP).
type S3 struct {
	*Site
	config  S3Config
	backend *s3mem.Backend
	objects http.Handler

	mu   sync.Mutex
	keys map[string]s3Key // by access key
	sts  stsUsers
}

// StartS3 begins with no bucket.
func StartS3(config S3Config) (*S3, error) {
	if config.AccessKey == "" {
		config.AccessKey, config.SecretKey = AccessKey, SecretKey
	}
	if config.PageSize == 0 {
		config.PageSize = 1000
	}
	s := &S3{config: config, backend: s3mem.New(), keys: map[string]s3Key{config.AccessKey: {secret: config.SecretKey}}}
	s.objects = gofakes3.New(s.backend, gofakes3.WithIntegrityCheck(true)).Server()
	var err error
	s.Site, err = startSite(config.SiteConfig, http.HandlerFunc(s.serveS3))
	return s, err
}

// TestS3 is an S3 server of the test's own.
func TestS3(t testing.TB, config S3Config) *S3 {
	t.Helper()
	s, err := StartS3(config)
	if err != nil {
		t.Fatal(err)
	}
	stopAfter(t, s.Stop)
	return s
}

// MakeBucket makes an empty bucket.
func (s *S3) MakeBucket(name string) error { return s.backend.CreateBucket(name) }

// Put writes an object beside the protocol, under any key.
func (s *S3) Put(bucket, key, content string) error {
	meta := map[string]string{"Last-Modified": time.Now().UTC().Format(http.TimeFormat)} // as the protocol has it
	_, err := s.backend.PutObject(bucket, key, meta, strings.NewReader(content), int64(len(content)), nil)
	return err
}

// Get reads an object beside the protocol.
func (s *S3) Get(bucket, key string) (content string, err error) {
	object, err := s.backend.GetObject(bucket, key, nil)
	if err != nil {
		return "", err
	}
	bytes, err := io.ReadAll(object.Contents)
	return string(bytes), errors.Join(err, object.Contents.Close())
}

// Delete removes an object beside the protocol.
func (s *S3) Delete(bucket, key string) error {
	_, err := s.backend.DeleteObject(bucket, key)
	return err
}

// Keys are those of all objects of a bucket, sorted.
func (s *S3) Keys(bucket string) ([]string, error) {
	list, err := s.backend.ListBucket(bucket, nil, gofakes3.ListBucketPage{})
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, object := range list.Contents {
		keys = append(keys, object.Key)
	}
	return keys, nil
}

// Lists counts the pages of lists that were asked for, Gets the objects.
func (s *S3) Lists() int {
	return s.Count(func(v Visit) bool { return v.Method == http.MethodGet && isList(v.Path, v.Query) })
}

// Gets counts the objects that were asked for.
func (s *S3) Gets() int {
	return s.Count(func(v Visit) bool { return v.Method == http.MethodGet && !isBucket(v.Path) })
}

func (s *S3) serveS3(w http.ResponseWriter, r *http.Request) {
	if isSTS(r) {
		s.serveSTS(w, r)
		return
	}
	if err := s.verify(r); err != nil {
		writeS3Error(w, err)
		return
	}
	if isList(r.URL.Path, r.URL.RawQuery) {
		query := r.URL.Query()
		if asked, err := strconv.Atoi(query.Get("max-keys")); err != nil || asked > s.config.PageSize {
			query.Set("max-keys", strconv.Itoa(s.config.PageSize))
		}
		r.URL.RawQuery = query.Encode()
	}
	s.objects.ServeHTTP(w, r)
}

// isBucket is true of a path that names no object.
func isBucket(path string) bool {
	_, key, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return key == ""
}

func isList(path, query string) bool {
	return isBucket(path) && (strings.Contains(query, "list-type=") || strings.Contains(query, "prefix="))
}

// s3Error is an answer that S3 has a code for.
type s3Error struct{ code, message string }

func (e *s3Error) Error() string { return e.code + ": " + e.message }

func denied(code, format string, args ...any) error {
	return &s3Error{code, fmt.Sprintf(format, args...)}
}

func writeS3Error(w http.ResponseWriter, err error) {
	status, answer := http.StatusForbidden, struct {
		XMLName       xml.Name `xml:"Error"`
		Code, Message string
	}{Code: "AccessDenied", Message: err.Error()}
	var known *s3Error
	if errors.As(err, &known) {
		answer.Code, answer.Message = known.code, known.message
	}
	if answer.Code == "XAmzContentSHA256Mismatch" || answer.Code == "IncompleteBody" {
		status = http.StatusBadRequest
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(answer)
}
