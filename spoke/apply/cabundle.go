package apply

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
)

// withoutPlaceholder drops the CA bundle of a definition's conversion webhook when it holds no certificate, as Flux
// does: it stands for one that is injected later, and the API server refuses it.
func withoutPlaceholder(spec json.RawMessage) (json.RawMessage, error) {
	var definition struct {
		Conversion struct {
			Webhook struct {
				ClientConfig struct {
					CABundle string `json:"caBundle"`
				} `json:"clientConfig"`
			} `json:"webhook"`
		} `json:"conversion"`
	}
	if json.Unmarshal(orNull(spec), &definition) != nil { // the API server says what is wrong with it
		return spec, nil
	}
	bundle := definition.Conversion.Webhook.ClientConfig.CABundle
	if decoded, err := base64.StdEncoding.DecodeString(bundle); err == nil && (len(decoded) == 0 || x509.NewCertPool().AppendCertsFromPEM(decoded)) {
		return spec, nil
	}
	var whole map[string]any
	decoder := json.NewDecoder(bytes.NewReader(spec))
	decoder.UseNumber()
	if err := decoder.Decode(&whole); err != nil {
		return nil, err
	}
	conversion, _ := whole["conversion"].(map[string]any)
	webhook, _ := conversion["webhook"].(map[string]any)
	client, _ := webhook["clientConfig"].(map[string]any)
	delete(client, "caBundle")
	return marshal(whole)
}
