package resource

import (
	"cmp"
	"encoding/json"
	"maps"
	"regexp"
	"slices"

	"flotilla.dev/flotilla/pkg/fleet"
)

// maxSecret is how many bytes a Secret may have, as in Kubernetes.
const maxSecret = 1 << 20

var secretKey = regexp.MustCompile(`^[-._a-zA-Z0-9]{1,253}$`)

// secretTypes are those that Kubernetes knows, with what the content of each must have.
var secretTypes = map[string]func(fields *fleet.Fields, data map[string][]byte){
	"kubernetes.io/dockerconfigjson": needJSON(".dockerconfigjson"),
	"kubernetes.io/dockercfg":        needJSON(".dockercfg"),
	"kubernetes.io/ssh-auth":         need("ssh-privatekey"),
	"kubernetes.io/tls":              need("tls.crt", "tls.key"),
	"kubernetes.io/basic-auth": func(fields *fleet.Fields, data map[string][]byte) {
		_, username := data["username"]
		_, password := data["password"]
		if !username && !password {
			fields.Refuse("data", "a Secret of type kubernetes.io/basic-auth has username or password")
		}
	},
	"kubernetes.io/service-account-token": refuseType,
	"bootstrap.kubernetes.io/token":       refuseType,
}

// checkSecret moves stringData into data and sets the type, as an API server does, and holds the content to the type's
// rules. Nothing of the content goes into an error.
func checkSecret(o *Object) error {
	var fields fleet.Fields
	if len(o.Spec) != 0 {
		fields.Refuse("spec", "a Secret has no spec")
	}
	o.Type = cmp.Or(o.Type, "Opaque")
	for key, value := range o.StringData {
		if o.Data == nil {
			o.Data = map[string][]byte{}
		}
		o.Data[key] = []byte(value)
	}
	o.StringData = nil
	size := 0
	for _, key := range slices.Sorted(maps.Keys(o.Data)) {
		if !secretKey.MatchString(key) || key == "." || key == ".." {
			fields.Refuse("data", "%q is not a key: letters, digits, '-', '_' and '.' make one", key)
		}
		size += len(o.Data[key])
	}
	if size > maxSecret {
		fields.Refuse("data", "has %d bytes; a Secret may have %d", size, maxSecret)
	}
	// Without content it is a Secret as it is given out, whose content stays as it is.
	if check := secretTypes[o.Type]; check != nil && len(o.Data) > 0 {
		check(&fields, o.Data)
	}
	return fields.Err()
}

// need asks for keys.
func need(keys ...string) func(*fleet.Fields, map[string][]byte) {
	return func(fields *fleet.Fields, data map[string][]byte) {
		for _, key := range keys {
			if _, given := data[key]; !given {
				fields.Require("data["+key+"]", "")
			}
		}
	}
}

// needJSON asks for a key whose value is JSON.
func needJSON(key string) func(*fleet.Fields, map[string][]byte) {
	return func(fields *fleet.Fields, data map[string][]byte) {
		need(key)(fields, data)
		if value, given := data[key]; given && !json.Valid(value) {
			fields.Refuse("data["+key+"]", "is not JSON")
		}
	}
}

func refuseType(fields *fleet.Fields, _ map[string][]byte) {
	fields.Refuse("type", "such a Secret is made by a cluster for itself, and has no use at the hub")
}
