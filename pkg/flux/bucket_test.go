package flux_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

const leastBucket = `"interval": "5m", "bucketName": "app", "endpoint": "minio.example.com"`

func TestABucketThatCouldNotBeFetchedIsRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spec string // takes the place of fields of the least one
		want string // empty: it is taken
	}{
		"the least":           {``, ""},
		"all of generic":      {`"provider": "generic", "region": "eu-1", "prefix": "a/", "insecure": true, "secretRef": {"name": "s"}, "certSecretRef": {"name": "t"}, "proxySecretRef": {"name": "p"}, "timeout": "90s", "ignore": "*.md", "suspend": true`, ""},
		"a port":              {`"endpoint": "minio:9000"`, ""},
		"an IPv6 address":     {`"endpoint": "[::1]:9000"`, ""},
		"aws":                 {`"provider": "aws", "sts": {"provider": "aws", "endpoint": "https://sts.amazonaws.com"}`, ""},
		"gcp":                 {`"provider": "gcp", "endpoint": "storage.googleapis.com"`, ""},
		"azure":               {`"provider": "azure", "endpoint": "https://a.blob.core.windows.net", "bucketName": "$web"`, ""},
		"ldap":                {`"sts": {"provider": "ldap", "endpoint": "http://ldap", "secretRef": {"name": "l"}, "certSecretRef": {"name": "c"}}`, ""},
		"no bucket":           {`"bucketName": ""`, "spec.bucketName: is required"},
		"no endpoint":         {`"endpoint": ""`, "spec.endpoint: is required"},
		"no interval":         {`"interval": "0s"`, "spec.interval: must be more than zero"},
		"another provider":    {`"provider": "minio"`, `spec.provider: "minio" is not generic, aws, gcp or azure`},
		"a path as a name":    {`"bucketName": "a/../b"`, `spec.bucketName: "a/../b" is not the name of a bucket`},
		"a query as a name":   {`"bucketName": "a?acl"`, "spec.bucketName"},
		"dots as a name":      {`"bucketName": ".."`, "spec.bucketName"},
		"a URL":               {`"endpoint": "https://minio"`, "spec.endpoint: is host or host:port, without https:// (spec.insecure: true is http)"},
		"an endpoint's path":  {`"endpoint": "minio/path"`, "spec.endpoint: is not host or host:port"},
		"an endpoint's user":  {`"endpoint": "anna:canary@minio"`, "spec.endpoint: holds credentials"},
		"an endpoint's query": {`"endpoint": "minio?key=canary"`, "spec.endpoint: is not host or host:port"},
		"no port":             {`"endpoint": "minio:"`, "spec.endpoint"},
		"an account's host":   {`"provider": "azure", "endpoint": "a.blob.core.windows.net"`, "spec.endpoint: is not the URL of a storage account"},
		"an account's user":   {`"provider": "azure", "endpoint": "https://x:canary@a.blob.core.windows.net"`, "spec.endpoint: holds credentials"},
		"an account's query":  {`"provider": "azure", "endpoint": "https://a.blob.core.windows.net/?sv=1"`, ""},
		"a signature":         {`"provider": "azure", "endpoint": "https://a.blob.core.windows.net/?sv=1&Sig=canary"`, "spec.endpoint: holds a shared access signature (sig): give the whole query as sasKey in a Secret named by spec.secretRef"},
		"half a query":        {`"provider": "azure", "endpoint": "https://a.blob.core.windows.net/?sig%zz=canary"`, "spec.endpoint: has a malformed query"},
		"a timeout in hours":  {`"timeout": "1h"`, "spec.timeout: may have the units ms, s and m, not h: write 60m"},
		"a Secret's name":     {`"secretRef": {"name": ""}`, "spec.secretRef.name: is required"},
		"a timeout in words":  {`"timeout": "soon"`, "spec.timeout"},
		// Flux's own rules, in its order.
		"sts of gcp":                    {`"provider": "gcp", "sts": {"provider": "aws", "endpoint": "https://x"}`, "spec.sts: temporary credentials are for the providers aws and generic only"},
		"ldap of aws":                   {`"provider": "aws", "sts": {"provider": "ldap", "endpoint": "https://x"}`, "spec.sts.provider: is aws where spec.provider is aws"},
		"aws of generic":                {`"sts": {"provider": "aws", "endpoint": "https://x"}`, "spec.sts.provider: is ldap where spec.provider is generic"},
		"a Secret for aws":              {`"provider": "aws", "sts": {"provider": "aws", "endpoint": "https://x", "secretRef": {"name": "s"}}`, "spec.sts.secretRef: is not for the STS provider aws"},
		"a certificate for aws":         {`"provider": "aws", "sts": {"provider": "aws", "endpoint": "https://x", "certSecretRef": {"name": "s"}}`, "spec.sts.certSecretRef: is not for the STS provider aws"},
		"an account of generic":         {`"serviceAccountName": "a"`, "spec.serviceAccountName: is not for the provider generic"},
		"an account and a Secret":       {`"provider": "aws", "serviceAccountName": "a", "secretRef": {"name": "s"}`, "spec.serviceAccountName: is instead of spec.secretRef"},
		"an account":                    {`"provider": "aws", "serviceAccountName": "a"`, "identities of ServiceAccounts at a cloud are not supported"},
		"an STS at no URL":              {`"sts": {"provider": "ldap", "endpoint": "ldap.example.com"}`, "spec.sts.endpoint: is not an http:// or https:// URL"},
		"no STS endpoint":               {`"sts": {"provider": "ldap"}`, "spec.sts.endpoint: is required"},
		"no STS provider":               {`"sts": {"endpoint": "https://x"}`, "spec.sts.provider: is required"},
		"an STS for another":            {`"sts": {"provider": "oidc", "endpoint": "https://x"}`, `spec.sts.provider: "oidc" is not aws or ldap`},
		"a certificate without a name":  {`"certSecretRef": {}`, "spec.certSecretRef.name: is required"},
		"a proxy without a name":        {`"proxySecretRef": {}`, "spec.proxySecretRef.name: is required"},
		"an STS Secret without a name":  {`"sts": {"provider": "ldap", "endpoint": "https://x", "secretRef": {}}`, "spec.sts.secretRef.name: is required"},
		"an STS endpoint with its user": {`"sts": {"provider": "ldap", "endpoint": "https://x:canary@y"}`, "spec.sts.endpoint: holds credentials"},
	} {
		var spec flux.Bucket
		text := "{" + leastBucket + "}"
		err := json.Unmarshal([]byte(text), &spec)
		if err == nil && test.spec != "" {
			err = json.Unmarshal([]byte("{"+test.spec+"}"), &spec)
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		err = spec.Validate()
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.want != "" && (!errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "canary")):
			t.Errorf("%s: error %v does not say %q", name, err, test.want)
		}
	}
}

func TestABucketSaysWhereItIsWithoutItsToken(t *testing.T) {
	t.Parallel()
	for spec, want := range map[flux.Bucket]string{
		{Endpoint: "minio:9000", BucketName: "app"}:                                                   "https://minio:9000/app",
		{Endpoint: "minio/", BucketName: "app", Insecure: true}:                                       "http://minio/app",
		{Endpoint: "https://a.blob.core.windows.net/?sig=canary", BucketName: "c", Provider: "azure"}: "https://a.blob.core.windows.net/c",
	} {
		if got := spec.URL(); got != want {
			t.Errorf("%+v is at %s, want %s", spec, got, want)
		}
	}
}

func TestABucketHasTheFieldsOfFluxAndTheyStandInItsTable(t *testing.T) {
	t.Parallel()
	fields := func(kind reflect.Type) (names []string) {
		for _, field := range reflect.VisibleFields(kind) {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			names = append(names, name)
		}
		slices.Sort(names)
		return names
	}
	for _, kinds := range [][2]reflect.Type{
		{reflect.TypeFor[flux.Bucket](), reflect.TypeFor[sourcev1.BucketSpec]()}, {reflect.TypeFor[flux.BucketSTS](), reflect.TypeFor[sourcev1.BucketSTSSpec]()},
	} {
		if ours, theirs := fields(kinds[0]), fields(kinds[1]); !slices.Equal(ours, theirs) {
			t.Errorf("%s has %v, Flux %v", kinds[0].Name(), ours, theirs)
		}
	}
	var listed []string
	for _, field := range flux.BucketFields {
		listed = append(listed, field.Path)
	}
	slices.Sort(listed)
	if has := fields(reflect.TypeFor[flux.Bucket]()); !slices.Equal(listed, has) {
		t.Errorf("the table lists %v, a Bucket has %v", listed, has)
	}
}
