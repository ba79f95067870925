"""The bus over Apache Kafka."""
