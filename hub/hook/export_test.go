package hook

import (
	"net/http"
	"time"
)

// NewIssuers returns Keys.
func NewIssuers(client *http.Client, google string) *issuers { return newIssuers(client, google) }

// Age lets time pass for what issuers were asked.
func (k *issuers) Age(by time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, i := range k.known {
		i.asked, i.had = i.asked.Add(-by), i.had.Add(-by)
	}
}
