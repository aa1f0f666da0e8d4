package evacuate

import (
	"cmp"
	"slices"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// Storage is where a host's instances keep their disks.
type Storage string

// Storage policies. An image-backed instance on anything but shared storage is
// rebuilt from its image: its data is lost, so it moves only where that was said to
// be meant.
const (
	StorageNone    Storage = "none"
	StorageShared  Storage = "shared"
	StorageVolume  Storage = "volume"
	StorageLocal   Storage = "local"
	StorageReimage Storage = "reimage" // local, and to be rebuilt from the image
)

// careful has the most careful one first.
var careful = []Storage{StorageNone, StorageLocal, StorageVolume, StorageReimage, StorageShared}

// Valid says that it is one of the words.
func (s Storage) Valid() bool { return slices.Contains(careful, s) }

const (
	// keyStorage in the metadata of Nova's aggregates declares their hosts' storage.
	keyStorage = "lifeboat:storage"
	// keyReimage says of a server, its size or its image that it may be rebuilt
	// from its image, and lose what it has written.
	keyReimage = "lifeboat:reimage"
)

// Storages are the hosts' storage: each one's own as configured, else what its
// aggregates say (of several words the most careful; one that is none of ours says
// nothing), else the cloud's.
func Storages(own map[nova.HostName]Storage, cloud Storage, aggregates []nova.Aggregate) map[nova.HostName]Storage {
	said := map[nova.HostName]Storage{}
	for _, a := range aggregates {
		word := Storage(a.Metadata[keyStorage])
		if !word.Valid() {
			continue
		}
		for _, host := range a.Hosts {
			if before := said[host]; before == "" || slices.Index(careful, word) < slices.Index(careful, before) {
				said[host] = word
			}
		}
	}
	out := make(map[nova.HostName]Storage, len(own))
	for host, word := range own {
		out[host] = cmp.Or(word, said[host], cloud)
	}
	return out
}

// diskMoves says that evacuating a server keeps its disks, or that losing them was said
// to be meant. One that boots from a volume may have another on its host; what is on a
// swap disk is worth nothing after a start.
func diskMoves(s nova.Server, storage Storage) bool {
	if s.VolumeBooted && s.EphemeralGiB == 0 || storage == StorageShared || storage == StorageReimage {
		return true
	}
	for _, words := range []map[string]string{s.Metadata, s.FlavorExtra, s.ImageProperties} {
		if yes, ok := truth(words[keyReimage]); ok {
			return yes
		}
	}
	return false
}
