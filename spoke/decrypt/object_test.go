package decrypt_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/spoke/decrypt"
	"flotilla.dev/flotilla/spoke/decrypt/decrypttest"
)

// TestAnObjectIsDecryptedThoughKustomizeHasChangedIt: what kustomize adds breaks the sum over the document, which as in
// Flux does not count; each value is authenticated by itself.
func TestAnObjectIsDecryptedThoughKustomizeHasChangedIt(t *testing.T) {
	t.Parallel()
	identity, key := decrypttest.AgeKey(t)
	k := parse(t, map[string][]byte{"id.agekey": []byte(identity)})
	e := decrypttest.For(key)
	e.Rule = decrypttest.OfSecrets
	encrypted, _ := e.Encrypt(t, decrypt.YAML, decrypt.YAML, []byte(`
apiVersion: v1
kind: Secret
metadata: {name: db}
stringData:
  # of the database
  password: `+canary+`
  port: "5432"
  number: 12
`))
	var object map[string]any
	if err := yaml.Unmarshal(encrypted, &object); err != nil {
		t.Fatal(err)
	}
	object["metadata"] = map[string]any{"name": "db-prefixed", "namespace": "apps", "labels": map[string]any{"a": "b"}, "generation": 9007199254740993}
	for _, print := range []func(any) ([]byte, error){yaml.Marshal, json.Marshal} {
		document, err := print(object)
		if err != nil {
			t.Fatal(err)
		}
		got, err := k.Object(t.Context(), document)
		if err != nil {
			t.Fatal(err)
		}
		want := `{"apiVersion":"v1","kind":"Secret","metadata":{"generation":9007199254740993,"labels":{"a":"b"},"name":"db-prefixed","namespace":"apps"},` +
			`"stringData":{"number":12,"password":"` + canary + `","port":"5432"}}`
		if diff := cmp.Diff(want, sorted(t, got)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}

func TestValuesOfASecretAreDecryptedOneByOne(t *testing.T) {
	t.Parallel()
	identity, key := decrypttest.AgeKey(t)
	k := parse(t, map[string][]byte{"id.agekey": []byte(identity)})
	e := decrypttest.For(key)
	data, want := map[string]string{}, map[string]string{}
	put := func(name string, in, out decrypt.Format, plain string) {
		encrypted, decrypted := e.Encrypt(t, in, out, []byte(plain))
		data[name] = base64.StdEncoding.EncodeToString(encrypted)
		want[name] = string(decrypted)
	}
	put("config.yaml", decrypt.YAML, decrypt.YAML, "a: "+canary+"\n")
	put("config.yml", decrypt.JSON, decrypt.YAML, `{"a":{"b":[1]}}`)
	put("config.json", decrypt.YAML, decrypt.JSON, "# note\na: {b: 1}\n")
	put(".dockerconfigjson", decrypt.JSON, decrypt.JSON, `{"auths":{"r":{"auth":"x"}}}`)
	put("app.env", decrypt.Dotenv, decrypt.Dotenv, "A=b\n")
	put("app.ini", decrypt.INI, decrypt.INI, "[a]\nb = c\n")
	put("tls.key", decrypt.Binary, decrypt.Binary, "-----BEGIN KEY-----\n"+canary)
	data["plain"] = base64.StdEncoding.EncodeToString([]byte("as it is"))
	want["plain"] = "as it is"
	data["broken"] = "%%"
	document, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "s"}, "data": data})
	if err != nil {
		t.Fatal(err)
	}
	plain, err := k.Object(t.Context(), document)
	if err != nil {
		t.Fatal(err)
	}
	var secret struct{ Data map[string]string }
	if err := json.Unmarshal(plain, &secret); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for name, value := range secret.Data {
		content, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			if name == "broken" && value == "%%" {
				continue
			}
			t.Fatal(name, err)
		}
		got[name] = string(content)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWhatIsNotEncryptedIsLeftAsItIs(t *testing.T) {
	t.Parallel()
	identity, key := decrypttest.AgeKey(t)
	k := parse(t, map[string][]byte{"id.agekey": []byte(identity)})
	e := decrypttest.For(key)
	e.Rule = decrypttest.OfSecrets
	disabled, _ := e.Encrypt(t, decrypt.YAML, decrypt.YAML, []byte("apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\n  annotations: {kustomize.toolkit.fluxcd.io/decrypt: Disabled}\nstringData: {a: b}\n"))
	value := base64.StdEncoding.EncodeToString([]byte(`{"data": "ENC[x]", "sops": {"mac": "ENC[x]"}}`))
	for name, document := range map[string]string{
		"disabled":          string(disabled),
		"plain":             "kind: Secret\ndata: {a: YQ==}\n",
		"no mac":            "kind: Secret\nsops: {note: mine}\n",
		"not a Secret":      "kind: ConfigMap\ndata: {a: " + value + "}\n",
		"of another object": "kind: Foo\nspec: {sops: {mac: x}}\n",
	} {
		got, err := k.Object(t.Context(), []byte(document))
		if err != nil || string(got) != document {
			t.Errorf("%s: %v, %s", name, err, got)
		}
	}
}

func TestDamageIsFoundAndNamedWithoutTheValue(t *testing.T) {
	t.Parallel()
	identity, key := decrypttest.AgeKey(t)
	k := parse(t, map[string][]byte{"id.agekey": []byte(identity)})
	e := decrypttest.For(key)
	e.Rule = decrypttest.OfSecrets
	encrypted, _ := e.Encrypt(t, decrypt.JSON, decrypt.JSON, []byte(`{"kind":"Secret","stringData":{"password":"`+canary+`","user":"`+canary+`2","n":12}}`))
	whole := string(encrypted)
	other, _ := e.Encrypt(t, decrypt.JSON, decrypt.JSON, []byte(`{"kind":"Secret","stringData":{"password":"`+canary+`"}}`))
	for name, test := range map[string]struct {
		document string
		is       error
		says     string
	}{
		"changed":            {swap(t, whole, `"password": "ENC[AES256_GCM,data:`, 1), decrypt.ErrDamaged, `"stringData.password": it does not decrypt`},
		"renamed":            {strings.Replace(whole, `"password"`, `"passwort"`, 1), decrypt.ErrDamaged, `"stringData.passwort": it does not decrypt`},
		"replaced by plain":  {replaceValue(whole, "user", canary+"3"), decrypt.ErrDamaged, `"stringData.user": it is not encrypted`},
		"replaced by number": {strings.Replace(whole, `"stringData": {`, `"stringData": {"m": 5,`, 1), decrypt.ErrDamaged, `"stringData.m" should be encrypted`},
		"another document's": {replaceValue(whole, "password", valueOf(t, string(other), "password")), decrypt.ErrDamaged, `"stringData.password": it does not decrypt`},
		"of another type":    {strings.Replace(whole, "type:str]", "type:int]", 1), decrypt.ErrDamaged, "it is not of the type that it says"},
		"cut off":            {strings.Replace(whole, ",type:str]", "", 1), decrypt.ErrDamaged, "cut off"},
		"key damaged":        {swap(t, whole, `-----BEGIN AGE ENCRYPTED FILE-----\n`, 200), decrypt.ErrNoKey, "the data key for age " + key.Recipient + ": it is damaged"},
		"key gone":           {strings.Replace(whole, `"age": [`, `"age_was": [`, 1), decrypt.ErrNotSOPS, "names no key"},
		"two rules":          {strings.Replace(whole, `"encrypted_regex"`, `"encrypted_suffix": "x", "encrypted_regex"`, 1), decrypt.ErrNotSOPS, "more than one rule"},
		"bad rule":           {strings.Replace(whole, `^(data|stringData)$`, `(`, 1), decrypt.ErrNotSOPS, "sops.encrypted_regex is not a regular expression"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.document == whole {
				t.Fatal("the test has changed nothing")
			}
			got, err := k.Object(t.Context(), []byte(test.document))
			if !errors.Is(err, test.is) || !strings.Contains(fmt.Sprint(err), test.says) {
				t.Fatalf("%v, %s; want %v that says %q", err, got, test.is, test.says)
			}
			if strings.Contains(err.Error(), canary) || strings.Contains(err.Error(), "ENC[") {
				t.Errorf("%v shows a value", err)
			}
		})
	}
}

func TestFilesThatAreNoDocumentsAreRefused(t *testing.T) {
	t.Parallel()
	k := parse(t, nil)
	says := map[string]string{
		"JSON and more": "something follows the JSON object", "YAML twice": `it has the key "a" twice`, "YAML number": "a key that is not text",
		"dotenv gaps": "a list with gaps", "INI text": "it is not INI",
	}
	for name, test := range map[string]struct {
		format decrypt.Format
		data   string
		is     error
	}{
		"JSON cut off":   {decrypt.JSON, `{"a": "` + canary + `", "sops": {"mac": "ENC[`, decrypt.ErrNotSOPS},
		"JSON and more":  {decrypt.JSON, `{"sops": {"mac": "ENC["}} ` + canary, decrypt.ErrNotSOPS},
		"JSON list":      {decrypt.JSON, `[{"mac": "ENC[` + canary + `"}]`, decrypt.ErrNotSOPS},
		"JSON too deep":  {decrypt.JSON, `{"sops": {"mac": "ENC["}, "a":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + "}", decrypt.ErrTooLarge},
		"YAML broken":    {decrypt.YAML, "mac: ENC[\n\t" + canary, decrypt.ErrNotSOPS},
		"YAML list":      {decrypt.YAML, "- mac: ENC[" + canary + "]", decrypt.ErrNotSOPS},
		"YAML twice":     {decrypt.YAML, "a: 1\na: 2\nsops:\n  mac: ENC[x]", decrypt.ErrNotSOPS},
		"YAML number":    {decrypt.YAML, "1: 2\nsops:\n  mac: ENC[x]", decrypt.ErrNotSOPS},
		"YAML of itself": {decrypt.YAML, "a: &a {b: *a}\nsops:\n  mac: ENC[x]", decrypt.ErrTooLarge},
		"YAML bomb":      {decrypt.YAML, bomb() + "sops:\n  mac: ENC[x]", decrypt.ErrTooLarge},
		"YAML alias":     {decrypt.YAML, "a: 1\nsops: nothing\nmac: ENC[", decrypt.ErrNotSOPS},
		"dotenv":         {decrypt.Dotenv, canary + "\nsops_mac=ENC[x]", decrypt.ErrNotSOPS},
		"dotenv gaps":    {decrypt.Dotenv, "sops_mac=ENC[x]\nsops_age__list_5__map_enc=x", decrypt.ErrNotSOPS},
		"INI":            {decrypt.INI, "[sops]\n" + canary + "\n[", decrypt.ErrNotSOPS},
		"INI text":       {decrypt.INI, "all of [sops] and " + canary, decrypt.ErrNotSOPS},
		"too large":      {decrypt.YAML, "mac: ENC[" + strings.Repeat("x", decrypt.MaxSize), decrypt.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := k.File(t.Context(), "dir/file", test.format, []byte(test.data))
			if !errors.Is(err, test.is) || !strings.HasPrefix(fmt.Sprint(err), "dir/file: ") || !strings.Contains(err.Error(), says[name]) {
				t.Fatalf("%v; want %v", err, test.is)
			}
			if strings.Contains(err.Error(), canary) {
				t.Errorf("%v shows content", err)
			}
		})
	}
}

// bomb is YAML that stands for two to the power of thirty values.
func bomb() string {
	var out strings.Builder
	out.WriteString("a0: &a0 [x, x]\n")
	for i := range 30 {
		fmt.Fprintf(&out, "a%d: &a%d [*a%d, *a%d]\n", i+1, i+1, i, i)
	}
	return out.String()
}

// FuzzNothingPanics: malicious documents have crashed SOPS.
func FuzzNothingPanics(f *testing.F) {
	identity, key := decrypttest.AgeKey(f)
	k, err := decrypt.Parse("Secret/apps/sops", map[string][]byte{"id.agekey": []byte(identity)})
	if err != nil {
		f.Fatal(err)
	}
	all := []decrypt.Format{decrypt.Binary, decrypt.Dotenv, decrypt.INI, decrypt.JSON, decrypt.YAML}
	for i, plain := range []string{"binary", "A=b\n", "[a]\nb = c\n", `{"a":[1,{"b":null}]}`, "# n\na: [1, {b: ~}]\n"} {
		encrypted, _ := decrypttest.For(key).Encrypt(f, all[i], all[i], []byte(plain))
		f.Add(i, i, encrypted)
		f.Add(i, 4, encrypted)
	}
	f.Fuzz(func(t *testing.T, in, out int, data []byte) {
		format := func(i int) decrypt.Format { return all[uint(i)%uint(len(all))] }
		_, _ = k.Convert(t.Context(), data, format(in), format(out))
		_, _ = k.Object(t.Context(), data)
	})
}

// sorted is a document of JSON with its keys sorted and no white space.
func sorted(t *testing.T, data []byte) string {
	t.Helper()
	var value map[string]json.RawMessage
	if err := json.Unmarshal(data, &value); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// swap changes a character some way behind a mark.
func swap(t *testing.T, document, mark string, behind int) string {
	t.Helper()
	at := strings.Index(document, mark)
	if at < 0 {
		t.Fatalf("no %q in %s", mark, document)
	}
	at += len(mark) + behind - 1
	other := "A"
	if document[at] == 'A' {
		other = "B"
	}
	return document[:at] + other + document[at+1:]
}

func valueOf(t *testing.T, document, key string) string {
	t.Helper()
	_, rest, found := strings.Cut(document, `"`+key+`": "`)
	value, _, ended := strings.Cut(rest, `"`)
	if !found || !ended {
		t.Fatalf("no %s in %s", key, document)
	}
	return value
}

func replaceValue(document, key, value string) string {
	before, rest, _ := strings.Cut(document, `"`+key+`": "`)
	_, after, _ := strings.Cut(rest, `"`)
	return before + `"` + key + `": "` + value + `"` + after
}
