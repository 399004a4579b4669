package lab

import (
	"crypto/rand"
	"encoding/xml"
	"net/http"
	"time"
)

// stsUsers are whom temporary keys are given to.
type stsUsers struct {
	ldap  map[string]string // password by user
	token map[string]bool
}

// stsLife is how long temporary keys are good for.
const stsLife = time.Hour

// STSURL is where temporary keys are asked for, by AssumeRoleWithLDAPIdentity and AssumeRoleWithWebIdentity.
func (s *S3) STSURL() string { return s.URL() + stsPath }

const stsPath = "/sts"

// AllowLDAP gives temporary keys to a user of a directory.
func (s *S3) AllowLDAP(user, password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sts.ldap == nil {
		s.sts.ldap = map[string]string{}
	}
	s.sts.ldap[user] = password
}

// AllowToken gives temporary keys to whoever has a web identity's token.
func (s *S3) AllowToken(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sts.token == nil {
		s.sts.token = map[string]bool{}
	}
	s.sts.token[token] = true
}

// ExpireTemporaryKeys ends those given so far.
func (s *S3) ExpireTemporaryKeys() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, key := range s.keys {
		if key.token != "" {
			key.expires = time.Now().Add(-time.Second)
			s.keys[name] = key
		}
	}
}

// TemporaryKeys counts how often keys were given.
func (s *S3) TemporaryKeys() int {
	return s.Count(func(v Visit) bool {
		return v.Method == http.MethodPost && isSTSPath(v.Path) && v.Status == http.StatusOK
	})
}

func isSTS(r *http.Request) bool { return r.Method == http.MethodPost && isSTSPath(r.URL.Path) }

func isSTSPath(path string) bool { return path == "/" || path == stsPath || path == stsPath+"/" }

// stsCredentials is the inner part of an answer.
type stsCredentials struct {
	AccessKeyID     string `xml:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string
	Expiration      time.Time
}

func (s *S3) serveSTS(w http.ResponseWriter, r *http.Request) {
	action := r.FormValue("Action")
	s.mu.Lock()
	defer s.mu.Unlock()
	var known bool
	switch action {
	case "AssumeRoleWithLDAPIdentity":
		password, ok := s.sts.ldap[r.FormValue("LDAPUsername")]
		known = ok && password == r.FormValue("LDAPPassword")
	case "AssumeRoleWithWebIdentity":
		known = s.sts.token[r.FormValue("WebIdentityToken")]
	}
	if !known {
		writeS3Error(w, denied("AccessDenied", "%s: nobody of that name and password, or token", action))
		return
	}
	given := stsCredentials{
		AccessKeyID: "ASIA" + rand.Text(), SecretAccessKey: rand.Text(), SessionToken: rand.Text(),
		Expiration: time.Now().Add(stsLife).UTC(),
	}
	s.keys[given.AccessKeyID] = s3Key{secret: given.SecretAccessKey, token: given.SessionToken, expires: given.Expiration}
	w.Header().Set("Content-Type", "application/xml")
	_ = xml.NewEncoder(w).Encode(stsAnswer{action, given})
}

// stsAnswer is named after what was asked.
type stsAnswer struct {
	action string
	given  stsCredentials
}

// MarshalXML writes <ActionResponse><ActionResult><Credentials>.
func (a stsAnswer) MarshalXML(e *xml.Encoder, _ xml.StartElement) error {
	outer := xml.StartElement{Name: xml.Name{Space: "https://sts.amazonaws.com/doc/2011-06-15/", Local: a.action + "Response"}}
	inner := xml.StartElement{Name: xml.Name{Local: a.action + "Result"}}
	if err := e.EncodeToken(outer); err != nil {
		return err
	}
	if err := e.EncodeToken(inner); err != nil {
		return err
	}
	if err := e.EncodeElement(a.given, xml.StartElement{Name: xml.Name{Local: "Credentials"}}); err != nil {
		return err
	}
	if err := e.EncodeToken(inner.End()); err != nil {
		return err
	}
	return e.EncodeToken(outer.End())
}
