package decrypt

import "context"

// Convert is convert.
func (k *Keys) Convert(ctx context.Context, data []byte, in, out Format) ([]byte, error) {
	return k.convert(ctx, data, in, out)
}
