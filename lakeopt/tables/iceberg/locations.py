"""Where new data files go, by the table's own location provider."""

from __future__ import annotations

from dataclasses import dataclass

from pyiceberg.table.locations import LocationProvider, load_location_provider
from pyiceberg.table.metadata import TableMetadata

from lakeopt.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class PartitionFolders:
    """Stands for pyiceberg's partition key, of which a location provider only asks the path."""

    path: str

    def to_path(self) -> str:
        """Folders of the partition, such as ``day=2013-01-01/origin=JFK``."""
        return self.path


def location_provider(metadata: TableMetadata) -> LocationProvider:
    """The provider that ``write.data.path``, ``write.object-storage.*`` and ``write.py-location-provider.impl`` name.

    :raises ConfigurationError: the table names a provider that cannot be loaded.
    """
    try:
        return load_location_provider(metadata.location, metadata.properties)
    except (ValueError, ImportError, AttributeError) as error:
        raise ConfigurationError(f"the table's location provider cannot be loaded: {error}") from error


def new_data_location(provider: LocationProvider, folders: str, name: str) -> str:
    """Location of a new data file in the folders of its partition (empty text: unpartitioned)."""
    key = PartitionFolders(folders) if folders else None
    return provider.new_data_location(name, key)  # type: ignore[arg-type]
