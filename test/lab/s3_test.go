package lab_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"flotilla.dev/flotilla/test/lab"
)

func TestS3ServesWhoSigns(t *testing.T) {
	t.Parallel()
	authority := lab.TestAuthority(t)
	for name, site := range map[string]lab.SiteConfig{
		"plain":               {},
		"TLS":                 {Authority: authority},
		"client certificates": {Authority: authority, ClientCertificates: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := lab.TestS3(t, lab.S3Config{SiteConfig: site})
			client := s3Client(t, s, credentials.NewStaticV4(lab.AccessKey, lab.SecretKey, ""))
			if err := client.MakeBucket(t.Context(), "bucket", minio.MakeBucketOptions{}); err != nil {
				t.Fatal(err)
			}
			for key, size := range map[string]int64{"small": 5, "dir/with space+plus": 70 << 10, "large": 6 << 20} {
				content := bytes.Repeat([]byte("abcde"), int(size/5))
				if _, err := client.PutObject(t.Context(), "bucket", key, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{}); err != nil {
					t.Fatalf("put %s: %v", key, err)
				}
				if got, err := s.Get("bucket", key); err != nil || got != string(content) {
					t.Errorf("%s: %d bytes, %v; want %d", key, len(got), err, len(content))
				}
				object, err := client.GetObject(t.Context(), "bucket", key, minio.GetObjectOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(object); err != nil || !bytes.Equal(got, content) {
					t.Errorf("get %s: %d bytes, %v", key, len(got), err)
				}
			}
		})
	}
}

func TestS3RefusesWhoDoesNotSignRight(t *testing.T) {
	t.Parallel()
	s := lab.TestS3(t, lab.S3Config{})
	if err := s.MakeBucket("bucket"); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		credentials *credentials.Credentials
		code        string
	}{
		"nobody":       {credentials.NewStaticV4("", "", ""), "AccessDenied"},
		"other key":    {credentials.NewStaticV4("somebody", lab.SecretKey, ""), "InvalidAccessKeyId"},
		"other secret": {credentials.NewStaticV4(lab.AccessKey, "wrong", ""), "SignatureDoesNotMatch"},
		"other token":  {credentials.NewStaticV4(lab.AccessKey, lab.SecretKey, "wrong"), "InvalidToken"},
		"version 2":    {credentials.NewStaticV2(lab.AccessKey, lab.SecretKey, ""), "AccessDenied"},
	} {
		_, err := s3Client(t, s, tc.credentials).PutObject(t.Context(), "bucket", "key", strings.NewReader("x"), 1, minio.PutObjectOptions{})
		if code := minio.ToErrorResponse(err).Code; code != tc.code {
			t.Errorf("%s: %v, want %s", name, err, tc.code)
		}
		if err := s3ListError(t.Context(), s3Client(t, s, tc.credentials)); minio.ToErrorResponse(err).Code != tc.code {
			t.Errorf("%s, to list: %v, want %s", name, err, tc.code)
		}
	}
	if keys, _ := s.Keys("bucket"); len(keys) > 0 {
		t.Errorf("%v was written", keys)
	}
}

func TestS3ThatIsPublicIsReadByAll(t *testing.T) {
	t.Parallel()
	s := lab.TestS3(t, lab.S3Config{Public: true})
	s3Fill(t, s, "a")
	anonymous := s3Client(t, s, credentials.NewStaticV4("", "", ""))
	if keys := s3List(t, anonymous); !slices.Equal(keys, []string{"a"}) {
		t.Errorf("keys %v", keys)
	}
	if _, err := anonymous.PutObject(t.Context(), "bucket", "b", strings.NewReader("x"), 1, minio.PutObjectOptions{}); err == nil {
		t.Error("anybody may write")
	}
}

func TestS3ListsInPages(t *testing.T) {
	t.Parallel()
	s := lab.TestS3(t, lab.S3Config{PageSize: 3})
	var want []string
	for i := range 10 {
		want = append(want, fmt.Sprintf("key-%02d", i))
	}
	s3Fill(t, s, want...)
	client := s3Client(t, s, credentials.NewStaticV4(lab.AccessKey, lab.SecretKey, ""))
	if keys := s3List(t, client); !slices.Equal(keys, want) {
		t.Errorf("keys %v, want %v", keys, want)
	}
	if pages := s.Lists(); pages != 4 {
		t.Errorf("%d pages, want 4", pages)
	}
}

func TestS3PutsOnCondition(t *testing.T) {
	t.Parallel()
	s := lab.TestS3(t, lab.S3Config{})
	s3Fill(t, s, "taken")
	client := s3Client(t, s, credentials.NewStaticV4(lab.AccessKey, lab.SecretKey, ""))
	var absent minio.PutObjectOptions
	absent.SetMatchETagExcept("*")
	if _, err := client.PutObject(t.Context(), "bucket", "free", strings.NewReader("x"), 1, absent); err != nil {
		t.Errorf("a free key: %v", err)
	}
	_, err := client.PutObject(t.Context(), "bucket", "taken", strings.NewReader("x"), 1, absent)
	if code := minio.ToErrorResponse(err).StatusCode; code != http.StatusPreconditionFailed {
		t.Errorf("a key that is taken: %v, want 412", err)
	}
}

func TestS3GivesTemporaryKeys(t *testing.T) {
	t.Parallel()
	s := lab.TestS3(t, lab.S3Config{})
	s3Fill(t, s, "a")
	s.AllowLDAP("anna", "correct-horse")
	s.AllowToken("a.web.token")
	ldap := func(password string) *credentials.Credentials {
		c, err := credentials.NewLDAPIdentity(s.STSURL(), "anna", password)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	web, err := credentials.NewSTSWebIdentity(s.STSURL(), func() (*credentials.WebIdentityToken, error) {
		return &credentials.WebIdentityToken{Token: "a.web.token"}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*credentials.Credentials{"LDAP": ldap("correct-horse"), "web": web} {
		if keys := s3List(t, s3Client(t, s, c)); len(keys) != 1 {
			t.Errorf("%s: keys %v", name, keys)
		}
	}
	if given := s.TemporaryKeys(); given != 2 {
		t.Errorf("keys were given %d times, want 2", given)
	}
	if err := s3ListError(t.Context(), s3Client(t, s, ldap("wrong"))); err == nil {
		t.Error("keys were given for a wrong password")
	}
	s.ExpireTemporaryKeys()
	if err := s3ListError(t.Context(), s3Client(t, s, web)); minio.ToErrorResponse(err).Code != "ExpiredToken" {
		t.Errorf("with a key that expired: %v", err)
	}
}

func s3Fill(t *testing.T, s *lab.S3, keys ...string) {
	t.Helper()
	if err := s.MakeBucket("bucket"); err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if err := s.Put("bucket", key, "content of "+key); err != nil {
			t.Fatal(err)
		}
	}
}

func s3Client(t *testing.T, s *lab.S3, c *credentials.Credentials) *minio.Client {
	t.Helper()
	http, err := s.Client()
	if err != nil {
		t.Fatal(err)
	}
	client, err := minio.New(s.Host(), &minio.Options{
		Creds: c, Secure: strings.HasPrefix(s.URL(), "https"), Transport: http.Transport, BucketLookup: minio.BucketLookupPath, MaxRetries: 1,
		Region: "us-east-1",
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func s3List(t *testing.T, client *minio.Client) []string {
	t.Helper()
	var keys []string
	for object := range client.ListObjects(t.Context(), "bucket", minio.ListObjectsOptions{Recursive: true}) {
		if object.Err != nil {
			t.Fatal(object.Err)
		}
		keys = append(keys, object.Key)
	}
	return keys
}

func s3ListError(ctx context.Context, client *minio.Client) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the list
	for object := range client.ListObjects(ctx, "bucket", minio.ListObjectsOptions{}) {
		return object.Err
	}
	return nil
}
