package rest

import (
	"context"
	"net/url"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

const (
	// imagesFresh is how old an image's cached properties may be.
	imagesFresh = 10 * time.Minute
	// imagesPatience bounds what one list of servers spends on images: what is
	// left over is read with the next list.
	imagesPatience = 5 * time.Second
	// imagesRetry is the pause before an image that could not be read is asked
	// for again.
	imagesRetry = time.Minute
)

// image is what is known of an image's properties; nil properties are unknown.
type image struct {
	properties map[string]string
	next       time.Time // to be read again then
}

// ImageProperties reads the properties of one image. Glance shows them beside
// its own attributes, flat; only words are taken.
func (c *Client) ImageProperties(ctx context.Context, id string) (map[string]string, error) {
	var reply map[string]any
	_, err := c.get(ctx, request{
		name: "image", doing: "read image " + id, service: "image", path: "images/" + url.PathEscape(id), into: &reply,
	})
	if err != nil {
		return nil, err
	}
	if reply["id"] != id {
		return nil, unknown("read image "+id, "Glance answered with another image")
	}
	properties := map[string]string{}
	for k, v := range reply {
		if word, ok := v.(string); ok {
			properties[k] = word
		}
	}
	return properties, nil
}

// imagesOf fills in the properties of the servers' images, each read once in
// imagesFresh. Where Glance does not answer, those of before serve.
func (c *Client) imagesOf(ctx context.Context, servers []nova.Server) {
	if !c.opts.Images {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, imagesPatience)
	defer cancel()
	for i := range servers {
		if id := servers[i].Image; id != "" {
			servers[i].ImageProperties = c.image(ctx, id)
		}
	}
}

func (c *Client) image(ctx context.Context, id string) map[string]string {
	c.mu.Lock()
	known, ok := c.images[id]
	c.mu.Unlock()
	if ok && c.now().Before(known.next) || ctx.Err() != nil {
		return known.properties
	}
	properties, err := c.ImageProperties(ctx, id)
	known.next = c.now().Add(imagesFresh)
	switch {
	case err == nil:
		known.properties = properties
	case nova.FaultOf(err) == nova.FaultNotFound: // deleted: what was known stays true of its servers
	default:
		c.log.Warn("image not read; using what was known of it", "image", id, "error", err)
		known.next = c.now().Add(imagesRetry)
	}
	c.mu.Lock()
	c.images[id] = known
	c.mu.Unlock()
	return known.properties
}
