package bucket_test

import (
	"testing"

	"flotilla.dev/flotilla/hub/source/bucket"
)

// Names of amazonaws.com that are a bucket's anybody may have.
func TestTheHubsIdentityIsShownToSecurityTokenServicesOfAWSAlone(t *testing.T) {
	t.Parallel()
	for endpoint, want := range map[string]bool{
		"https://sts.amazonaws.com":                              true,
		"https://STS.eu-central-1.amazonaws.com/":                true,
		"https://sts-fips.us-gov-west-1.amazonaws.com":           true,
		"https://sts.cn-north-1.amazonaws.com.cn":                true,
		"https://vpce-0a-1b.sts.eu-central-1.vpce.amazonaws.com": true,
		"https://sts.s3.amazonaws.com":                           false,
		"https://sts.s3-eu-central-1.amazonaws.com":              false,
		"https://sts.s3.eu-central-1.amazonaws.com":              false,
		"https://sts-fips.s3.eu-central-1.amazonaws.com":         false,
		"https://a.sts.s3.amazonaws.com":                         false,
		"https://mine.sts.eu-central-1.amazonaws.com":            false,
		"https://vpce-0a.sts.eu-central-1.vpce.s3.amazonaws.com": false,
		"https://sts.amazonaws.com.example.com":                  false,
		"https://sts.eu-central-1.amazonaws.com:8443":            false,
		"http://sts.amazonaws.com":                               false,
		"https://amazonaws.com":                                  false,
	} {
		if got := bucket.Amazons(endpoint); got != want {
			t.Errorf("%s: %t, want %t", endpoint, got, want)
		}
	}
}
